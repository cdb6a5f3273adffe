"""One execution environment of a Lambda function: a process, and the Runtime API that it takes its invocations from."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import threading
import time
import uuid
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, TypeVar

from local.child_process import start_child, stop_child
from local.lambda_function import REGION, FunctionSpec, InvocationResult
from local.ports import listen

__all__ = ["MAX_RESPONSE_BYTES", "Worker", "WorkerStartError"]

MAX_RESPONSE_BYTES = 6_291_556
# AWS allows 10 s. A laptop that starts eight workers of three functions at once may need more: no reason to fail.
_INIT_TIMEOUT_SECONDS = 60.0
_HOST = "127.0.0.1"
_API = "/2018-06-01/runtime"

_T = TypeVar("_T")


class WorkerStartError(RuntimeError):
    """Raised when a worker ends before its first invocation; the message has the function's own error."""


class Worker:
    """A process that runs one function, one invocation at a time. Starting it does not wait for it.

    Args:
        function: what it runs.
        python: interpreter that has `awslambdaric`.
        log_path: file that its stdout and stderr are appended to.
    """

    def __init__(self, function: FunctionSpec, python: Path, log_path: Path) -> None:
        self._function = function
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._ready: Future[InvocationResult | None] = Future()  # None, or the error that the start ended with
        self._current: _Request | None = None
        self._usable = True
        self._listener = listen(_HOST, 0, backlog=2)
        port = self._listener.getsockname()[1]
        try:
            with log_path.open("ab") as log:
                self._process = start_child(
                    [str(python), "-m", "awslambdaric", function.handler],
                    environment=_environment(function, f"{_HOST}:{port}"),
                    working_directory=function.task_root,
                    output=log,
                )
        except OSError:
            self._listener.close()
            raise
        for target in (self._serve_runtime_api, self._watch_process):
            threading.Thread(target=target, name=f"{function.name}-{self._process.pid}", daemon=True).start()

    @property
    def usable(self) -> bool:
        """Whether it can take an invocation."""
        return self._usable and self._process.poll() is None

    def kill(self) -> None:
        """End the process at once, whatever it does, as a machine that fails does. Its invocation fails."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    @property
    def function_arn(self) -> str:
        """Of the function that it runs."""
        return self._function.arn

    def invoke(self, payload: bytes) -> InvocationResult:
        """Run the function once; the first time, wait for its module to be imported.

        After a timeout, a too large answer or the end of the process the worker is no longer `usable`.
        """
        start_error = self._wait_for_start()
        if start_error is not None:
            self.stop()
            return start_error
        request = _Request(payload, self._function.timeout_seconds)
        deadline = time.monotonic() + self._function.timeout_seconds
        self._current = request
        self._requests.put(request)
        if self._process.poll() is not None:  # it died since the last invocation: nobody else would answer
            self._answer_for_dead_process()
        try:
            result = request.result.result(self._function.timeout_seconds)
            if time.monotonic() < deadline:
                return result
            raise FutureTimeoutError  # noqa: TRY301 - answered, but too late: on a busy machine nobody woke up before
        except FutureTimeoutError:
            self.stop()
            return _error(
                "Sandbox.Timedout",
                f"RequestId: {request.id} Error: Task timed out after {self._function.timeout_seconds:.2f} seconds",
            )

    def wait_until_ready(self) -> None:
        """Wait until the function's module is imported.

        Raises:
            WorkerStartError: it cannot be, or not within 60 s; the process is ended.
        """
        start_error = self._wait_for_start()
        if start_error is not None:
            self.stop()
            raise WorkerStartError(f"{self._function.name} did not start: {start_error.payload.decode()}")

    def stop(self) -> None:
        """End the process at once and wait for its end."""
        stop_child(self._process)

    def _wait_for_start(self) -> InvocationResult | None:
        try:
            return self._ready.result(_INIT_TIMEOUT_SECONDS)
        except FutureTimeoutError:
            return _error("Sandbox.Timedout", f"Error: Init timed out after {_INIT_TIMEOUT_SECONDS:.2f} seconds")

    def _watch_process(self) -> None:
        self._process.wait()
        self._answer_for_dead_process()
        self._requests.put(None)
        # Closing a socket does not wake the thread that waits in its accept().
        with contextlib.suppress(OSError), socket.create_connection(self._listener.getsockname(), timeout=1):
            pass
        self._listener.close()

    def _answer_for_dead_process(self) -> None:
        status = self._process.wait()
        if status < 0:
            reason = f" with error: signal: {-status}"
        elif status > 0:
            reason = f" with error: exit status {status}"
        else:
            reason = " without providing a reason"
        _settle(self._ready, _error("Runtime.ExitError", f"Error: Runtime exited{reason}"))
        request = self._current
        if request is not None:
            message = f"RequestId: {request.id} Error: Runtime exited{reason}"
            _settle(request.result, _error("Runtime.ExitError", message))

    def _serve_runtime_api(self) -> None:
        # A runtime client makes one connection at a time, so no further threads are needed.
        with contextlib.suppress(OSError):  # the listener was closed
            while self._process.poll() is None:
                connection, address = self._listener.accept()
                with connection, contextlib.suppress(ConnectionError):
                    _RuntimeApiHandler(connection, address, self)  # type: ignore[arg-type]  # it wants a BaseServer to keep, not to use

    # What the Runtime API does with a request.

    def next_request(self) -> _Request | None:
        """Wait for an invocation; None when the process ended."""
        _settle(self._ready, None)
        return self._requests.get()

    def finish(self, request_id: str, result: InvocationResult) -> None:
        """Take the function's answer, unless it is one to an invocation that is over."""
        request = self._current
        if request is not None and request.id == request_id:
            _settle(request.result, result)

    def refuse_response(self, request_id: str) -> None:
        """Fail an invocation whose answer is too large; the runtime client ends when it is told so."""
        self._usable = False
        message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
        self.finish(request_id, _error("Function.ResponseSizeTooLarge", message))

    def fail_start(self, result: InvocationResult) -> None:
        """Take the error that importing the function's module ended with."""
        _settle(self._ready, result)


class _Request:
    """An invocation on its way through a worker."""

    def __init__(self, payload: bytes, timeout_seconds: float) -> None:
        now = time.time()
        identity = uuid.uuid4()
        self.id = str(identity)
        self.payload = payload
        self.deadline_ms = int((now + timeout_seconds) * 1000)
        self.trace_id = f"Root=1-{int(now):08x}-{identity.hex[:24]};Parent={identity.hex[16:]};Sampled=0"
        self.result: Future[InvocationResult] = Future()


class _RuntimeApiHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection of a runtime client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a warm invocation takes 40 ms otherwise
    wbufsize = -1
    server: Worker  # type: ignore[assignment]  # the base class only keeps what it was given

    def do_GET(self) -> None:
        """Hand out the next invocation, when there is one."""
        if self.path != f"{_API}/invocation/next":
            self._send(HTTPStatus.NOT_FOUND)
            return
        request = self.server.next_request()
        if request is None:
            self.close_connection = True
            return
        self._send(
            HTTPStatus.OK,
            request.payload,
            {
                "Lambda-Runtime-Aws-Request-Id": request.id,
                "Lambda-Runtime-Deadline-Ms": str(request.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": self.server.function_arn,
                "Lambda-Runtime-Trace-Id": request.trace_id,
            },
        )

    def do_POST(self) -> None:
        """Take the answer or the error of an invocation, or the error of the start."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.removeprefix(_API).split("/")
        match parts:
            case ["", "invocation", request_id, "response"] if len(body) > MAX_RESPONSE_BYTES:
                self.server.refuse_response(request_id)
                self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b'{"errorType":"RequestEntityTooLarge"}')
            case ["", "invocation", request_id, "response"]:
                self.server.finish(request_id, InvocationResult(body))
                self._send(HTTPStatus.ACCEPTED, b'{"status":"OK"}')
            case ["", "invocation", request_id, "error"]:
                self.server.finish(request_id, InvocationResult(body, "Unhandled"))
                self._send(HTTPStatus.ACCEPTED, b'{"status":"OK"}')
            case ["", "init", "error"]:
                self.server.fail_start(InvocationResult(body, "Unhandled"))
                self._send(HTTPStatus.ACCEPTED, b'{"status":"OK"}')
            case _:
                self._send(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: there are two requests for each invocation."""

    def _send(self, status: HTTPStatus, body: bytes = b"{}", headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _environment(function: FunctionSpec, runtime_api: str) -> dict[str, str]:
    """The variables that AWS documents for a function, and what keeps the host's own configuration out."""
    defaults = {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
    }
    reserved = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "_HANDLER": function.handler,
        "LAMBDA_TASK_ROOT": str(function.task_root),
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{time.strftime('%Y/%m/%d')}/[$LATEST]{uuid.uuid4().hex}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # A developer's own credentials and settings must not be found through the home directory.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # a deployed bundle is read-only
    }
    return {**defaults, **function.environment, **reserved}


def _error(error_type: str, message: str) -> InvocationResult:
    return InvocationResult(json.dumps({"errorType": error_type, "errorMessage": message}).encode(), "Unhandled")


def _settle(future: Future[_T], value: _T) -> None:
    """Give a future its value; who comes second is too late."""
    with contextlib.suppress(InvalidStateError):
        future.set_result(value)
