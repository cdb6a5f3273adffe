"""Functions run in processes of the real runtime client, and fail as they would in AWS."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.lambda_function import FunctionSpec
from local.lambda_runtime import (
    MAX_PAYLOAD_BYTES,
    InvocationResult,
    LambdaRuntime,
    PayloadTooLargeError,
    RuntimeStoppedError,
    UnknownFunctionError,
    WorkerStartError,
)
from local.lambda_worker import MAX_RESPONSE_BYTES
from tests.local_engines.processes import PROJECT_ROOT, is_running, wait_until

ToyFunctions = Callable[..., FunctionSpec]


def invoke(runtime: LambdaRuntime, function: str, event: object) -> Any:
    result = runtime.invoke(function, json.dumps(event).encode())
    assert result.function_error is None, result.payload
    return json.loads(result.payload)


def error_of(result: InvocationResult) -> tuple[str, str]:
    assert result.function_error == "Unhandled"
    error = json.loads(result.payload)
    return error["errorType"], error["errorMessage"]


def test_the_answer_is_the_functions(toy_runtime: LambdaRuntime) -> None:
    assert invoke(toy_runtime, "echo", {"text": "Grüße 🎉", "list": [1, None]}) == {
        "text": "Grüße 🎉",
        "list": [1, None],
    }


def test_a_worker_is_used_again(toy_runtime: LambdaRuntime) -> None:
    assert invoke(toy_runtime, "sleep", {"seconds": 0}) == invoke(toy_runtime, "sleep", {"seconds": 0})


def test_an_exception_keeps_its_type_and_the_worker(toy_runtime: LambdaRuntime) -> None:
    assert error_of(toy_runtime.invoke("fail", b'"x"')) == ("BadTrace", "cannot read x")
    assert error_of(toy_runtime.invoke("fail", b'"y"')) == ("BadTrace", "cannot read y")


@pytest.mark.parametrize(
    ("status", "reason"),
    [(3, "Runtime exited with error: exit status 3"), (0, "Runtime exited without providing a reason")],
)
def test_a_function_that_ends_its_process(toy_runtime: LambdaRuntime, status: int, reason: str) -> None:
    kind, message = error_of(toy_runtime.invoke("exit", json.dumps({"status": status}).encode()))
    assert kind == "Runtime.ExitError"
    assert message.endswith(f"Error: {reason}")


def test_a_timeout_kills_the_worker_and_the_next_invocation_gets_a_new_one(
    toy_functions: ToyFunctions, lambda_python: Path, tmp_path: Path
) -> None:
    function = toy_functions("sleep", timeout_seconds=0.5)
    with LambdaRuntime([function], lambda_python, tmp_path, workers=1) as runtime:
        first = invoke(runtime, "sleep", {"seconds": 0})
        started = time.monotonic()
        kind, message = error_of(runtime.invoke("sleep", b'{"seconds": 30}'))
        assert time.monotonic() - started < 5
        assert kind == "Sandbox.Timedout"
        assert message.endswith("Error: Task timed out after 0.50 seconds")
        assert not is_running(first)
        assert invoke(runtime, "sleep", {"seconds": 0}) != first


def test_a_module_that_cannot_be_imported(toy_functions: ToyFunctions, lambda_python: Path, tmp_path: Path) -> None:
    with LambdaRuntime([toy_functions("broken", "broken.handler")], lambda_python, tmp_path) as runtime:
        kind, message = error_of(runtime.invoke("broken", b"{}"))
        assert kind == "Runtime.ImportModuleError"
        assert "No module named 'a_dependency_that_is_not_in_the_bundle'" in message
        with pytest.raises(WorkerStartError, match=r"broken did not start: .*a_dependency_that_is_not_in_the_bundle"):
            runtime.warm("broken", 2)
        assert error_of(runtime.invoke("broken", b"{}"))[0] == "Runtime.ImportModuleError"


def test_a_module_whose_import_never_ends(lambda_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.lambda_worker._INIT_TIMEOUT_SECONDS", 0.5)
    (tmp_path / "app.py").write_text("import time\ntime.sleep(60)\n")
    function = FunctionSpec("f", "app.handler", tmp_path, 10, 128)
    with LambdaRuntime([function], lambda_python, tmp_path / "logs") as runtime:
        assert error_of(runtime.invoke("f", b"{}")) == ("Sandbox.Timedout", "Error: Init timed out after 0.50 seconds")


def test_a_package_of_the_host_is_not_in_the_runtime(lambda_python: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import clickhouse_connect\ndef handler(event, context):\n    return 1\n")
    function = FunctionSpec("f", "app.handler", tmp_path, 10, 128)
    with LambdaRuntime([function], lambda_python, tmp_path / "logs") as runtime:
        assert error_of(runtime.invoke("f", b"{}"))[0] == "Runtime.ImportModuleError"


def test_a_worker_killed_from_outside_is_replaced(
    toy_functions: ToyFunctions, lambda_python: Path, tmp_path: Path
) -> None:
    with LambdaRuntime([toy_functions("sleep")], lambda_python, tmp_path, workers=1) as runtime:
        idle = invoke(runtime, "sleep", {"seconds": 0})
        os.kill(idle, signal.SIGKILL)
        assert wait_until(lambda: not is_running(idle))
        time.sleep(0.1)  # who waits for the process must have noticed
        busy = invoke(runtime, "sleep", {"seconds": 0})
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(runtime.invoke, "sleep", b'{"seconds": 30}')
            time.sleep(0.3)
            os.kill(busy, signal.SIGKILL)
            kind, message = error_of(waiting.result(5))
        assert kind == "Runtime.ExitError"
        assert message.endswith("signal: 9")
        assert invoke(runtime, "sleep", {"seconds": 0}) not in (idle, busy)


def test_forty_invocations_at_once_share_the_workers(
    toy_functions: ToyFunctions, lambda_python: Path, tmp_path: Path
) -> None:
    with (
        LambdaRuntime([toy_functions("sleep")], lambda_python, tmp_path, workers=4) as runtime,
        ThreadPoolExecutor(40) as threads,
    ):
        processes = list(threads.map(lambda _: invoke(runtime, "sleep", {"seconds": 0.02}), range(40)))
        assert len(processes) == 40
        assert len(set(processes)) <= 4


def test_warm_workers_are_ready(toy_functions: ToyFunctions, lambda_python: Path, tmp_path: Path) -> None:
    with (
        LambdaRuntime([toy_functions("sleep")], lambda_python, tmp_path, workers=3) as runtime,
        ThreadPoolExecutor(3) as threads,
    ):
        runtime.warm("sleep", 10)  # no more than the limit
        started = time.monotonic()
        processes = set(threads.map(lambda _: invoke(runtime, "sleep", {"seconds": 0.2}), range(3)))
        assert len(processes) == 3
        assert time.monotonic() - started < 2
        runtime.warm("sleep", 3)
        assert {invoke(runtime, "sleep", {"seconds": 0}) for _ in range(3)} <= processes


def test_a_worker_knows_what_aws_tells_it_and_nothing_of_the_host(
    toy_functions: ToyFunctions, lambda_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    monkeypatch.setenv("AWS_PROFILE", "production")
    function = toy_functions("describe", timeout_seconds=7, memory_mb=256, environment={"GREETING": "hello", "TZ": "x"})
    with LambdaRuntime([function], lambda_python, tmp_path) as runtime:
        seen = invoke(runtime, "describe", {})
    environment = seen["environment"]
    assert environment["GREETING"] == "hello"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "describe"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_REGION"] == "us-east-1"
    assert environment["TZ"] == ":UTC"  # reserved
    assert environment["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert "SECRET_OF_THE_HOST" not in environment
    assert "AWS_PROFILE" not in environment
    assert "HOME" not in environment
    assert 5000 < seen["deadline_ms"] <= 7000
    assert seen["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:describe"
    assert seen["path"][0] == str(function.task_root)
    assert seen["stdin"] == ""
    assert not any(str(PROJECT_ROOT) in path and "lambda-runtime" not in path for path in seen["path"])


def test_a_bundle_is_left_as_it_was(toy_runtime: LambdaRuntime) -> None:
    invoke(toy_runtime, "echo", 1)
    task_root = toy_runtime.functions[0].task_root
    assert sorted(path.name for path in task_root.iterdir()) == ["app.py", "broken.py"]


def test_output_goes_to_the_functions_log(toy_functions: ToyFunctions, lambda_python: Path, tmp_path: Path) -> None:
    with LambdaRuntime([toy_functions("exit"), toy_functions("fail")], lambda_python, tmp_path / "logs") as runtime:
        runtime.invoke("exit", b'{"status": 1}')
        runtime.invoke("fail", b'"this"')
    assert (tmp_path / "logs" / "exit.log").read_text() == "last words\n"
    assert "cannot read this" in (tmp_path / "logs" / "fail.log").read_text()


def test_an_answer_may_have_six_megabytes_and_no_more(toy_runtime: LambdaRuntime) -> None:
    largest = toy_runtime.invoke("answer_bytes", json.dumps({"bytes": MAX_RESPONSE_BYTES}).encode())
    assert (len(largest.payload), largest.function_error) == (MAX_RESPONSE_BYTES, None)
    larger = toy_runtime.invoke("answer_bytes", json.dumps({"bytes": MAX_RESPONSE_BYTES + 1}).encode())
    assert error_of(larger)[0] == "Function.ResponseSizeTooLarge"
    assert invoke(toy_runtime, "answer_bytes", {"bytes": 3}) == "x"


def test_a_payload_may_have_six_megabytes_and_no_more(toy_runtime: LambdaRuntime) -> None:
    largest = b'"' + b"x" * (MAX_PAYLOAD_BYTES - 2) + b'"'
    assert len(toy_runtime.invoke("echo", largest).payload) == MAX_PAYLOAD_BYTES
    with pytest.raises(PayloadTooLargeError, match=f"{MAX_PAYLOAD_BYTES + 1} byte payload is too large"):
        toy_runtime.invoke("echo", largest + b" ")


def test_an_unknown_function_is_named_with_those_that_exist(toy_runtime: LambdaRuntime) -> None:
    with pytest.raises(UnknownFunctionError, match=r"no function 'nope'; there are: answer_bytes, describe, echo"):
        toy_runtime.invoke("nope", b"{}")


def test_stop_ends_busy_workers_and_those_who_wait(
    toy_functions: ToyFunctions, lambda_python: Path, tmp_path: Path
) -> None:
    runtime = LambdaRuntime([toy_functions("sleep")], lambda_python, tmp_path, workers=1)
    process = invoke(runtime, "sleep", {"seconds": 0})
    with ThreadPoolExecutor() as threads:
        busy = threads.submit(runtime.invoke, "sleep", b'{"seconds": 30}')
        time.sleep(0.2)
        waiting = threads.submit(runtime.invoke, "sleep", b'{"seconds": 0}')
        time.sleep(0.2)
        runtime.stop()
        runtime.stop()
        assert error_of(busy.result(5))[0] == "Runtime.ExitError"
        with pytest.raises(RuntimeStoppedError):
            waiting.result(5)
    assert not is_running(process)
    with pytest.raises(RuntimeStoppedError, match="cannot invoke sleep: the Lambda runtime was stopped"):
        runtime.invoke("sleep", b'{"seconds": 0}')


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", r"name: a function needs one"),
        ("handler", "app", r"handler: expected module\.function for f, got 'app'"),
        ("task_root", Path("/no/such/folder"), r"task_root: not a folder for f: /no/such/folder"),
        ("timeout_seconds", 0, r"timeout_seconds: expected more than 0 and at most 900 for f, got 0"),
        ("timeout_seconds", 901, r"timeout_seconds: .*got 901"),
        ("memory_mb", 64, r"memory_mb: expected 128 to 10240 for f, got 64"),
    ],
)
def test_a_wrong_specification_names_the_field(tmp_path: Path, field: str, value: object, message: str) -> None:
    arguments: dict[str, Any] = {
        "name": "f",
        "handler": "app.f",
        "task_root": tmp_path,
        "timeout_seconds": 1,
        "memory_mb": 128,
    }
    with pytest.raises(ValueError, match=message):
        FunctionSpec(**{**arguments, field: value})


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"python: no interpreter at .*/nowhere"):
        LambdaRuntime([], tmp_path / "nowhere", tmp_path)


def test_a_runtime_needs_a_worker(lambda_python: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers: expected at least 1, got 0"):
        LambdaRuntime([], lambda_python, tmp_path, workers=0)
