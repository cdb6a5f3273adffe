"""What moto 5.2.5 lacks, compared with AWS, nearly all of it in its Step Functions interpreter.

Moto's interpreter is a copy of LocalStack's, with parts cut out. Each function here replaces one private part of it and
says which symptom that removes; `tests/local_engines` has a test for each, which fails without it. Another version of
moto may need others: its version is pinned.
"""

from __future__ import annotations

import datetime
import functools
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError
from moto.dynamodb.responses import DynamoHandler
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.inline_iteration_component import (
    InlineIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_worker import IterationWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task_lambda import StateTaskLambda
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.utils import long_uid

from local import moto_executions
from local.patching import replace

__all__ = ["abort_executions", "install"]

abort_executions = moto_executions.abort_all

_MAX_INLINE_MAP_CONCURRENCY = 40
_CHILD_POLL_SECONDS = 0.02
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
_NOT_IN_STATES_ALL = {"States.DataLimitExceeded", "States.Runtime"}
_COMPONENTS = "moto.stepfunctions.parser.asl.component."


def install(clients: Callable[[str], Any], backoff_scale: float) -> None:
    """Apply all fixes; a later call replaces the arguments of an earlier one.

    Args:
        clients: gives the boto3 client of a service that tasks shall use.
        backoff_scale: factor of every wait before a retry.
    """
    use_clients(clients)
    scale_backoff(backoff_scale)
    for fix in (
        convert_parameter_names,
        keep_map_context,
        keep_error_names,
        name_lambda_service_errors,
        limit_states_all,
        limit_parameters,
        limit_map_concurrency,
        iterate_maps,
        count_retries_once,
        watch_child_executions,
        stop_child_executions,
        retry_child_executions,
        reuse_parsed_definitions,
        reuse_parsed_paths,
        skip_component_logs,
        make_item_updates_atomic,
        moto_executions.name_and_check_executions,
        moto_executions.keep_stopped_executions_stopped,
        moto_executions.end_timed_out_executions,
        moto_executions.describe_ended_executions,
        moto_executions.page_execution_histories,
        moto_executions.format_start_time,
    ):
        fix()


def use_clients(clients: Callable[[str], Any]) -> None:
    """Each task builds a boto3 client, which takes 20 ms, for port `MOTO_PORT` or 5000, wherever the server listens."""

    def boto_client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        del region, state_credentials
        return clients(service)

    for name, module in list(sys.modules.items()):
        if name.startswith(_COMPONENTS) and hasattr(module, "boto_client_for"):
            replace(module, "boto_client_for", lambda _original: boto_client_for)


def scale_backoff(scale: float) -> None:
    """The waits of a `Retry` take as long as in production, also in tests."""
    clock = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds * scale))
    replace(retrier_decl, "time", lambda _original: clock)


def convert_parameter_names() -> None:
    """`states:startExecution` and every integration whose API has camelCase names fail: KeyError 'StateMachineArn'.

    Times in a response stay Python objects, which `describe_execution` cannot write; AWS: milliseconds since 1970.
    """

    def operation(task: Any, service: str | None, action: str | None) -> Any:
        return _operation(task._get_boto_service_name(service), task._get_boto_service_action(action))

    def to_api(task: Any, parameters: Any, boto_service_name: Any = None, service_action_name: Any = None) -> None:
        shape = operation(task, boto_service_name, service_action_name).input_shape
        if shape is not None:
            task._to_boto_request(parameters, shape)

    def from_api(task: Any, response: Any, boto_service_name: Any = None, service_action_name: Any = None) -> None:
        shape = operation(task, boto_service_name, service_action_name).output_shape
        if shape is not None:
            task._from_boto_response(response, shape)
            _convert_times(response)

    replace(StateTaskService, "_normalise_parameters", lambda _original: to_api)
    replace(StateTaskService, "_normalise_response", lambda _original: from_api)


def keep_map_context() -> None:
    """`$$.Map.Item.*` in a state within an iteration is not found: only `ItemSelector` has it."""

    def make(original: Any) -> Any:
        def as_inner_frame_of(cls: Any, env: Any, *args: Any, **kwargs: Any) -> Any:
            frame = original.__func__(cls, env, *args, **kwargs)
            outer = env.states.context_object.context_object_data
            if "Map" in outer:
                frame.states.context_object.context_object_data["Map"] = outer["Map"]
            return frame

        return classmethod(as_inner_frame_of)

    replace(Environment, "as_inner_frame_of", make)


def keep_error_names() -> None:
    """A `States.*` error that leaves an iteration becomes States.Runtime, which the Map's own Retry and Catch miss."""

    def error_name_of(error_name: str | None) -> Any:
        if error_name is not None and error_name.startswith("States."):
            return StatesErrorName(StatesErrorNameType.from_name(error_name))
        return CustomErrorName(error_name)

    replace(iteration_worker, "CustomErrorName", lambda _original: error_name_of)


def name_lambda_service_errors() -> None:
    """An invocation that Lambda refuses fails as `Exception` instead of, say, `Lambda.TooManyRequestsException`."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def from_error(task: Any, env: Any, ex: Exception) -> Any:
            failure = original(task, env=env, ex=ex)
            if isinstance(ex, ClientError):
                name = f"Lambda.{ex.response['Error']['Code']}"
                failure.error_name = CustomErrorName(name)
                failure.event_details["lambdaFunctionFailedEventDetails"]["error"] = name
            return failure

        return from_error

    replace(StateTaskLambda, "_from_error", make)


def limit_states_all() -> None:
    """`States.ALL` catches and retries States.DataLimitExceeded and States.Runtime, which in AWS end the execution."""

    def make(original: Callable[..., None]) -> Callable[..., None]:
        def evaluate(declaration: Any, env: Any) -> None:
            error_name = env.stack[-1]
            if error_name is not None and error_name.error_name in _NOT_IN_STATES_ALL:
                env.stack[-1] = error_name in declaration.error_names
            else:
                original(declaration, env)

        return evaluate

    replace(ErrorEqualsDecl, "_eval_body", make)


def limit_parameters() -> None:
    """A task's parameters may be above 256 KiB; AWS: States.DataLimitExceeded."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def evaluate(task: Any, env: Any) -> Any:
            parameters = original(task, env)
            task._verify_size_quota(env=env, value=parameters)
            return parameters

        return evaluate

    replace(StateTask, "_eval_parameters", make)


def limit_map_concurrency() -> None:
    """An inline Map without MaxConcurrency gets a thread per item; AWS runs 40 iterations at once."""

    def make(original: Callable[..., None]) -> Callable[..., None]:
        def evaluate(component: Any, env: Any) -> None:
            arguments = env.stack[-1]
            wanted = arguments.max_concurrency or _MAX_INLINE_MAP_CONCURRENCY
            # A worker without an item would only be started and ended; 0 would mean: no limit.
            useful = max(len(arguments.input_items), 1)
            arguments.max_concurrency = min(wanted, _MAX_INLINE_MAP_CONCURRENCY, useful)
            original(component, env)

        return evaluate

    replace(InlineIterationComponent, "_eval_body", make)


def iterate_maps() -> None:
    """A Map's worker calls itself for each item: 1,000 items at concurrency 1 hang the Map at the recursion limit."""

    def evaluate_pool(worker: Any, job: Any, worker_frame: Any) -> None:
        while job is not None:
            job_frame = worker_frame.open_inner_frame()
            worker._eval_job(env=job_frame, job=job)
            worker_frame.close_frame(job_frame)
            failed = isinstance(job.job_output, Exception) or worker.stopped()
            next_job = None if failed else worker._job_pool.next_job()
            if next_job is None:
                if not failed:  # the events of the state after the Map follow the last iteration's
                    last_event_id = job_frame.event_history_context.last_published_event_id
                    worker_frame.event_history_context.source_event_id = last_event_id
                # The Map goes on when its last job is closed: the frame comes first.
                worker._env.close_frame(worker_frame)
            worker._job_pool.close_job(job)
            job = next_job
            if job is None:
                return
        worker._env.close_frame(worker_frame)

    replace(IterationWorker, "_eval_pool", lambda _original: evaluate_pool)


def count_retries_once() -> None:
    """Iterations that fail at the same moment may each make up a key for a `Retry`'s counter: one gets a retry more."""

    def heap_key(component: Any) -> str:
        key: str = vars(component).setdefault("_heap_key", long_uid())  # atomic
        return key

    replace(EvalComponent, "heap_key", lambda _original: property(heap_key))


def watch_child_executions() -> None:
    """`startExecution.sync:2` notices its child's end up to 0.5 s late; asking the API more often costs 5 ms a time."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def build_resolver(task: Any, env: Any, **others: Any) -> Callable[[], Any]:
            child = moto_executions.find_execution(env.stack[-1]["ExecutionArn"])
            describe_child = original(task, env=env, **others)
            return lambda: None if child.status == "RUNNING" else describe_child()

        return build_resolver

    for name in ("_build_sync_resolver", "_build_sync2_resolver"):
        replace(StateTaskServiceSfn, name, make)
    replace(state_task_service_callback, "_DELAY_SECONDS_SYNC_CONDITION_CHECK", lambda _original: _CHILD_POLL_SECONDS)


def stop_child_executions() -> None:
    """The child of a `startExecution.sync:2` that is stopped or times out runs on; AWS stops it too."""

    def make(original: Callable[..., None]) -> Callable[..., None]:
        def evaluate(task: Any, env: Any, **others: Any) -> None:
            child = None
            if isinstance(task, StateTaskServiceSfn):
                child = moto_executions.find_execution(env.stack[-1]["ExecutionArn"])
            try:
                original(task, env=env, **others)
            finally:
                if child is not None and not env.is_running():
                    moto_executions.abort(child)

        return evaluate

    replace(StateTaskServiceCallback, "_eval_integration_pattern", make)


def retry_child_executions() -> None:
    """Each attempt of a `startExecution.sync:2` after the first fails at once, with States.Timeout.

    Its first attempt used up the state's task token, on which moto also waits, though `.sync:2` takes none.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def evaluate(task: Any, **arguments: Any) -> Any:
            return original(task, **{**arguments, "callback_endpoint": None})

        return evaluate

    replace(StateTaskServiceCallback, "_eval_sync", make)


def make_item_updates_atomic() -> None:
    """Updates of one DynamoDB item at the same moment overwrite each other, and pass conditions that no longer hold."""
    lock = threading.Lock()

    def make(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call_action(handler: Any) -> Any:
            with lock:
                return original(handler)

        return call_action

    replace(DynamoHandler, "call_action", make)


def reuse_parsed_definitions() -> None:
    """Each start of an execution parses its definition, which takes 0.1 s and more."""
    replace(
        AmazonStateLanguageParser,
        "parse",
        lambda original: staticmethod(functools.lru_cache(maxsize=64)(original.__func__)),
    )


def reuse_parsed_paths() -> None:
    """Each evaluation of a JSONPath parses it, which takes half of an interpreter's time."""
    for module in (json_path, result_path):
        replace(module, "parse", lambda original: functools.lru_cache(maxsize=1024)(original))


def skip_component_logs() -> None:
    """Each failure formats all of its component for the log, for a large Map tens of milliseconds of nothing read."""
    for name in ("_log_failure_event_exception", "_log_exception"):
        replace(EvalComponent, name, lambda _original: lambda *_args, **_kwargs: None)


def _convert_times(response: Any) -> None:
    if isinstance(response, dict):
        for key, value in response.items():
            if isinstance(value, datetime.datetime):
                response[key] = round(value.timestamp() * 1000)
            else:
                _convert_times(value)
    elif isinstance(response, list):
        for item in response:
            _convert_times(item)


@functools.cache
def _operation(service: str, action: str) -> Any:
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(name): name for name in model.operation_names}
    return model.operation_model(names[action])
