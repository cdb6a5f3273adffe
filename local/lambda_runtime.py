"""AWS Lambda on one machine: real runtime clients (`awslambdaric`) in their own processes.

Each worker process runs one function and takes one invocation at a time, as an execution environment of AWS does. Its
invocations come through the documented Lambda Runtime API, which a thread of this process serves on a port of its own:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

The interpreter of the workers belongs to a virtual environment that holds the runtime client and boto3 only, so that a
bundle that misses a dependency fails here as it would in AWS. Not simulated: memory limits, IAM, X-Ray, throttling (an
invocation above the limit of workers waits for one to become free, where AWS would refuse it).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from local.lambda_function import FunctionSpec, InvocationResult
from local.lambda_worker import Worker, WorkerStartError

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "FunctionSpec",
    "InvocationResult",
    "LambdaRuntime",
    "PayloadTooLargeError",
    "RuntimeStoppedError",
    "UnknownFunctionError",
    "WorkerStartError",
]

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024  # of a synchronous invocation


class UnknownFunctionError(LookupError):
    """Raised when a function is invoked that was not given to the runtime."""


class PayloadTooLargeError(ValueError):
    """Raised for an invocation whose payload is above 6 MB; AWS answers `RequestTooLargeException`."""


class RuntimeStoppedError(RuntimeError):
    """Raised to who invokes, or waits for a worker, while or after the runtime stops."""


class ThrottledError(RuntimeError):
    """Raised by `LambdaRuntime.invoke` for an invocation that `throttle` refuses."""


class LambdaRuntime:
    """Runs functions, each in at most `workers` processes that are kept for later invocations.

    Args:
        functions: what can be invoked.
        python: interpreter of the workers; needs `awslambdaric`, and should have nothing but what AWS's image has.
        log_directory: gets one file per function, `<name>.log`, with its workers' stdout and stderr; made if missing.
        workers: processes per function at most; the next invocation waits.
    """

    def __init__(self, functions: Iterable[FunctionSpec], python: Path, log_directory: Path, workers: int = 8) -> None:
        if workers < 1:
            raise ValueError(f"workers: expected at least 1, got {workers}")
        if not python.is_file():
            raise ValueError(f"python: no interpreter at {python}; `make setup` builds the one for Lambda workers")
        log_directory.mkdir(parents=True, exist_ok=True)
        self._python = python
        self._log_directory = log_directory
        self._workers = workers
        self._pools = {function.name: self._new_pool(function) for function in functions}

    @property
    def functions(self) -> tuple[FunctionSpec, ...]:
        """What can be invoked."""
        return tuple(pool.function for pool in self._pools.values())

    def invoke(self, function_name: str, payload: bytes) -> InvocationResult:
        """Run a function and wait for its result. Thread-safe; waits while all its workers are busy.

        Args:
            function_name: name, not ARN.
            payload: JSON.

        Returns:
            What AWS would: a failed function is a result with `function_error`, not an exception.

        Raises:
            UnknownFunctionError: no such function.
            PayloadTooLargeError: more than 6 MB.
            RuntimeStoppedError: `stop` was called.
            ThrottledError: `throttle` asked for it.
        """
        pool = self._pool(function_name)
        pool.take_throttle()
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLargeError(
                f"{len(payload)} byte payload is too large for the RequestResponse invocation type"
                f" (limit {MAX_PAYLOAD_BYTES} bytes)"
            )
        return pool.invoke(payload)

    def warm(self, function_name: str, count: int) -> None:
        """Start workers ahead, so that `count` of them (at most the limit) are ready when it returns.

        Raises:
            UnknownFunctionError: no such function.
            WorkerStartError: the function's module cannot be imported, or similar.
        """
        self._pool(function_name).warm(count)

    def throttle(self, function_name: str, times: int) -> None:
        """Refuse the function's next `times` invocations, as Lambda does above the account's concurrency.

        Raises:
            UnknownFunctionError: no such function.
        """
        self._pool(function_name).throttled = times

    def kill_workers(self, function_name: str) -> int:
        """Kill (SIGKILL) the workers that run an invocation of the function now; return how many there were.

        Raises:
            UnknownFunctionError: no such function.
        """
        return self._pool(function_name).kill_busy()

    def update(self, function: FunctionSpec) -> None:
        """Change a function's configuration: its workers end, the next invocation starts new ones.

        Raises:
            UnknownFunctionError: no function of this name.
        """
        former = self._pool(function.name)
        self._pools[function.name] = self._new_pool(function)
        former.stop()

    def stop(self) -> None:
        """End all workers, also busy ones, and refuse further invocations. Can be called twice."""
        for pool in self._pools.values():
            pool.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _new_pool(self, function: FunctionSpec) -> _WorkerPool:
        return _WorkerPool(function, self._python, self._log_directory / f"{function.name}.log", self._workers)

    def _pool(self, function_name: str) -> _WorkerPool:
        try:
            return self._pools[function_name]
        except KeyError:
            known = ", ".join(sorted(self._pools)) or "none"
            raise UnknownFunctionError(f"no function {function_name!r}; there are: {known}") from None


class _WorkerPool:
    """The workers of one function."""

    def __init__(self, function: FunctionSpec, python: Path, log_path: Path, limit: int) -> None:
        self.function = function
        self._python = python
        self._log_path = log_path
        self._limit = limit
        self._changed = threading.Condition()
        self._workers: set[Worker] = set()  # busy and idle ones
        self._idle: list[Worker] = []
        self._stopped = False
        self.throttled = 0  # invocations still to refuse

    def take_throttle(self) -> None:
        with self._changed:
            if self.throttled > 0:
                self.throttled -= 1
                raise ThrottledError(f"Rate Exceeded: {self.function.name}")

    def invoke(self, payload: bytes) -> InvocationResult:
        worker = self._acquire()
        try:
            return worker.invoke(payload)
        finally:
            self._release(worker)

    def warm(self, count: int) -> None:
        count = min(count, self._limit)
        with self._changed:
            missing = count - len(self._workers)
        if missing <= 0:
            return
        with ThreadPoolExecutor(missing) as starters:
            workers = [self._start_if_below(count) for _ in range(missing)]
            started = [worker for worker in workers if worker is not None]
            try:
                for _ in starters.map(Worker.wait_until_ready, started):
                    pass
            finally:
                for worker in started:
                    self._release(worker)

    def kill_busy(self) -> int:
        with self._changed:
            busy = self._workers.difference(self._idle)
        for worker in busy:
            worker.kill()
        return len(busy)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            workers = list(self._workers)
            self._workers.clear()
            self._idle.clear()
            self._changed.notify_all()
        for worker in workers:
            worker.stop()

    def _acquire(self) -> Worker:
        """Take the most recently used idle worker that still lives, or start one, or wait."""
        with self._changed:
            while True:
                if self._stopped:
                    raise RuntimeStoppedError(f"cannot invoke {self.function.name}: the Lambda runtime was stopped")
                while self._idle:
                    worker = self._idle.pop()
                    if worker.usable:
                        return worker
                    self._workers.discard(worker)
                if len(self._workers) < self._limit:
                    return self._start()
                self._changed.wait()

    def _start_if_below(self, count: int) -> Worker | None:
        with self._changed:
            if self._stopped or len(self._workers) >= count:
                return None
            return self._start()

    def _start(self) -> Worker:
        worker = Worker(self.function, self._python, self._log_path)
        self._workers.add(worker)
        return worker

    def _release(self, worker: Worker) -> None:
        if not worker.usable:
            worker.stop()
        with self._changed:
            if worker.usable and not self._stopped:
                self._idle.append(worker)
            else:
                self._workers.discard(worker)
            self._changed.notify()
