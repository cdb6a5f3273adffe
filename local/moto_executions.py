"""What moto 5.2.5's executions of state machines lack, compared with AWS: names, limits, ends, pages of their history.

Used by `moto_fixes`, which says more.
"""

from __future__ import annotations

import datetime
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import InvalidName, ValidationException
from moto.stepfunctions.parser import utils as parser_utils
from moto.stepfunctions.parser.api import (
    ExecutionAbortedEventDetails,
    ExecutionStatus,
    ExecutionTimedOutEventDetails,
    HistoryEventType,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramRunning, ProgramStopped, ProgramTimedOut
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends
from moto.stepfunctions.responses import StepFunctionResponse

from local.lambda_function import ACCOUNT_ID, REGION
from local.patching import replace

__all__ = [
    "abort",
    "abort_all",
    "describe_ended_executions",
    "end_timed_out_executions",
    "find_execution",
    "format_start_time",
    "keep_stopped_executions_stopped",
    "name_and_check_executions",
    "page_execution_histories",
]

_MAX_NAME_LENGTH = 80
_FORBIDDEN_IN_NAMES = re.compile(r"""[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]""")
_MAX_INPUT_BYTES = 262_144
_DEFAULT_PAGE_EVENTS = 100
_MAX_PAGE_EVENTS = 1000
_START_POLL_SECONDS = 0.01

_start_lock = threading.Lock()
_status_lock = threading.Lock()


def find_execution(arn: str) -> Any:
    """The execution of an ARN, as moto has it."""
    return stepfunctions_parser_backends[ACCOUNT_ID][REGION].describe_execution(arn)


def abort(execution: Any, error: str | None = None, cause: str | None = None) -> None:
    """End an execution as ABORTED; one that has ended stays as it is."""
    environment = _running_environment(execution)
    with _status_lock:
        if environment is None or execution.exec_status is not ExecutionStatus.RUNNING:
            return
        execution.stop_date = datetime.datetime.now(tz=datetime.UTC)
        environment.set_stop(stop_date=execution.stop_date, cause=cause, error=error)
        details = ExecutionAbortedEventDetails(error=error, cause=cause)
        _end_history(environment, HistoryEventType.ExecutionAborted, {"executionAbortedEventDetails": details})
        execution.error, execution.cause = error or None, cause or None
        execution.exec_status = ExecutionStatus.ABORTED


def abort_all() -> None:
    """End every execution that runs."""
    for machine in stepfunctions_parser_backends[ACCOUNT_ID][REGION].state_machines:
        for execution in list(machine.executions):
            abort(execution)


def name_and_check_executions() -> None:
    """Unnamed executions all get the ARN `...:None` and collide; names and inputs that AWS refuses are accepted.

    Two that start at the same moment may also get the same name. Each step ever taken leaves a thread object behind.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def start_execution(
            backend: Any,
            state_machine_arn: str,
            name: str | None = None,
            execution_input: str | None = None,
            trace_header: str | None = None,
        ) -> Any:
            name = str(uuid.uuid4()) if name is None else name
            _check_name(name)
            _check_input(execution_input or "{}")
            parser_utils.TMP_THREADS.clear()
            with _start_lock:
                return original(backend, state_machine_arn, name, execution_input, trace_header)

        return start_execution

    replace(StepFunctionsParserBackend, "start_execution", make)


def keep_stopped_executions_stopped() -> None:
    """After `stop_execution` the status is RUNNING until the current step ends, then FAILED with States.Runtime."""

    def make_stop(_original: Any) -> Callable[..., None]:
        def stop(execution: Any, stop_date: Any, error: str | None, cause: str | None) -> None:
            del stop_date
            abort(execution, error, cause)

        return stop

    def make_set_error(original: Callable[..., None]) -> Callable[..., None]:
        def set_error(environment: Any, error: Any) -> None:
            if not isinstance(environment.program_state(), (ProgramStopped, ProgramTimedOut)):
                original(environment, error)

        return set_error

    replace(Execution, "stop", make_stop)
    replace(Environment, "set_error", make_set_error)


def end_timed_out_executions() -> None:
    """The history of a timed-out execution goes on until its current step ends."""

    def make_reflect(original: Callable[..., None]) -> Callable[..., None]:
        def reflect(communication: Any) -> None:
            execution = communication.execution
            with _status_lock:
                if execution.exec_status is not ExecutionStatus.RUNNING:
                    return
                original(communication)
                environment = execution.exec_worker.env
                if isinstance(environment.program_state(), ProgramTimedOut):
                    details = {"executionTimedOutEventDetails": ExecutionTimedOutEventDetails()}
                    _end_history(environment, HistoryEventType.ExecutionTimedOut, details)

        return reflect

    replace(BaseExecutionWorkerCommunication, "_reflect_execution_status", make_reflect)


def describe_ended_executions() -> None:
    """A timed-out execution has no `stopDate`; an output that is a JSON string or null is not written as JSON."""

    def make_describe(original: Callable[..., Any]) -> Callable[..., Any]:
        def describe_execution(response: Any) -> ActionResult:
            result: Any = original(response).result
            execution = response.stepfunction_backend.describe_execution(result["executionArn"])
            if execution.stop_date is not None:
                result["stopDate"] = execution.stop_date
            if execution.exec_status is ExecutionStatus.SUCCEEDED:
                result["output"] = to_json_str(execution.output)
            return ActionResult(result)

        return describe_execution

    def make_list(original: Callable[..., Any]) -> Callable[..., Any]:
        def list_executions(response: Any) -> ActionResult:
            result: Any = original(response).result
            for item in result["executions"]:
                execution = response.stepfunction_backend.describe_execution(item["executionArn"])
                if execution.stop_date is not None:
                    item["stopDate"] = execution.stop_date
            return ActionResult(result)

        return list_executions

    replace(StepFunctionResponse, "describe_execution", make_describe)
    replace(StepFunctionResponse, "list_executions", make_list)


def page_execution_histories() -> None:
    """`get_execution_history` ignores maxResults, nextToken and reverseOrder, and takes 1 ms for each event."""

    def make(_original: Any) -> Callable[..., Any]:
        def get_execution_history(response: Any) -> str:
            execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
            environment = execution.exec_worker.env
            events = [] if environment is None else environment.event_manager._history_event_list
            size = min(response._get_int_param("maxResults") or _DEFAULT_PAGE_EVENTS, _MAX_PAGE_EVENTS)
            if response._get_param("reverseOrder"):
                end = int(response._get_param("nextToken") or len(events))
                start = max(end - size, 0)
                page, rest = events[start:end][::-1], start
            else:
                start = int(response._get_param("nextToken") or 0)
                page = events[start : start + size]
                rest = start + size if start + size < len(events) else 0
            # Written here, not by moto's generic serializer: that is what takes the time.
            body: dict[str, Any] = {"events": [_with_numeric_time(event) for event in page]}
            return json.dumps({**body, "nextToken": str(rest)} if rest else body)

        return get_execution_history

    replace(StepFunctionResponse, "get_execution_history", make)


def format_start_time() -> None:
    """`$$.Execution.StartTime` has microseconds, `+00:00`, in `States.Format` no `T`; AWS: milliseconds and `Z`."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def get_start_execution_details(execution: Any) -> Any:
            details = original(execution)
            started = details.start_time.isoformat(timespec="milliseconds")
            details.start_time = started.replace("+00:00", "Z")
            return details

        return get_start_execution_details

    replace(Execution, "get_start_execution_details", make)


def _with_numeric_time(event: Mapping[str, Any]) -> dict[str, Any]:
    return {**event, "timestamp": datetime.datetime.fromisoformat(event["timestamp"]).timestamp()}


def _running_environment(execution: Any) -> Any:
    """The environment of an execution once its first state runs; None when it has ended."""
    while execution.exec_status is ExecutionStatus.RUNNING or execution.exec_status is None:
        environment = None if execution.exec_worker is None else execution.exec_worker.env
        if environment is not None and isinstance(environment.program_state(), ProgramRunning):
            return environment
        time.sleep(_START_POLL_SECONDS)
    return None


def _end_history(environment: Any, event_type: HistoryEventType, details: Mapping[str, Any]) -> None:
    """Add the last event, and ignore what threads that still run would add."""
    manager = environment.event_manager
    environment.event_history_context.source_event_id = 0
    last = manager.add_event(context=environment.event_history_context, event_type=event_type, event_details=details)
    manager.add_event = lambda *_args, **_kwargs: last


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= _MAX_NAME_LENGTH or _FORBIDDEN_IN_NAMES.search(name):
        raise InvalidName(f"Invalid Name: '{name}'")


def _check_input(execution_input: str) -> None:
    if len(execution_input.encode()) > _MAX_INPUT_BYTES:
        raise ValidationException(
            "1 validation error detected: Value at 'input' failed to satisfy constraint:"
            f" Member must have length less than or equal to {_MAX_INPUT_BYTES}"
        )
