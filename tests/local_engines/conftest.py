"""Toy Lambda functions, and a ClickHouse database per test."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from local.aws import LocalAws
from local.clickhouse_server import ClickHouseServer
from local.lambda_function import FunctionSpec
from local.lambda_runtime import LambdaRuntime
from tests.local_engines.machines import BACKOFF_SCALE, Machines
from tests.local_engines.processes import PROJECT_ROOT

HANDLERS = """
import json, os, sys, threading, time
from pathlib import Path

def echo(event, context):
    return event

def sleep(event, context):
    time.sleep(event["seconds"])
    return os.getpid()

def describe(event, context):
    return {
        "environment": dict(os.environ),
        "deadline_ms": context.get_remaining_time_in_millis(),
        "arn": context.invoked_function_arn,
        "path": sys.path,
        "stdin": sys.stdin.read(),
        "pid": os.getpid(),
    }

def fail(event, context):
    class BadTrace(Exception):
        pass
    raise BadTrace(f"cannot read {event}")

def exit(event, context):
    print("last words")
    os._exit(event["status"])

def answer_bytes(event, context):
    return "x" * (event["bytes"] - 2)

def write_file(event, context):
    Path(event["path"]).write_text(str(os.getpid()))

def fail_first(event, context):
    # The first `failures` invocations with the same path fail.
    path = Path(event["path"])
    with path.open("a") as log:
        log.write(json.dumps(event) + chr(10))
    count = len(path.read_text().splitlines())
    if count <= event["failures"]:
        class TransientError(Exception):
            pass
        raise TransientError(f"failure {count}")
    return count
"""


@pytest.fixture(scope="session")
def lambda_python() -> Path:
    """Interpreter of the Lambda workers."""
    python = PROJECT_ROOT / ".venv" / "lambda-runtime" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"no interpreter for Lambda workers at {python}: run `make setup`")
    return python


@pytest.fixture(scope="session")
def toy_functions(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FunctionSpec]:
    """Make functions of one module of toy handlers."""
    task_root = tmp_path_factory.mktemp("task_root")
    (task_root / "app.py").write_text(textwrap.dedent(HANDLERS))
    (task_root / "broken.py").write_text("import a_dependency_that_is_not_in_the_bundle\n")

    def make(name: str, handler: str | None = None, **overrides: Any) -> FunctionSpec:
        arguments: dict[str, Any] = {"timeout_seconds": 10, "memory_mb": 128, "task_root": task_root, **overrides}
        return FunctionSpec(name=name, handler=handler or f"app.{name}", **arguments)

    return make


@pytest.fixture(scope="session")
def toy_runtime(
    toy_functions: Callable[..., FunctionSpec], lambda_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LambdaRuntime]:
    """All toy handlers, as functions of the same names."""
    names = ("echo", "sleep", "describe", "fail", "exit", "answer_bytes", "write_file", "fail_first")
    functions = [toy_functions(name) for name in names]
    with LambdaRuntime(functions, lambda_python, tmp_path_factory.mktemp("lambda_logs")) as runtime:
        yield runtime


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouseServer) -> Iterator[Any]:
    """A client whose database is empty and its own."""
    with clickhouse_connect.get_client(host="127.0.0.1", port=clickhouse_server.port) as client:
        client.database = f"test_{uuid.uuid4().hex}"
        client.command(f"CREATE DATABASE {client.database}", use_database=False)
        yield client
        client.command(f"DROP DATABASE {client.database}", use_database=False)


@pytest.fixture(scope="module")
def machines(toy_runtime: LambdaRuntime) -> Iterator[Machines]:
    """A local AWS with the toy functions, whose retries wait a twentieth of their time."""
    with LocalAws(backoff_scale=BACKOFF_SCALE) as aws:
        aws.register_functions(toy_runtime)
        yield Machines(aws)
