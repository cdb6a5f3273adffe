"""Start an execution, follow it through the functions' own logs, and read its result."""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.stack_info import StackInfo
from trace_summarization.planning import run_hash

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Execution:
    """A finished or running execution as DescribeExecution tells it."""

    arn: str
    status: str
    output: dict[str, Any] | None = None
    error: str | None = None
    cause: str | None = None


@dataclass(frozen=True)
class Progress:
    """One line that a function of the execution logged: its message and its fields."""

    message: str
    fields: Mapping[str, Any]


def start(info: StackInfo, machine_arn: str, inputs: Mapping[str, Any], name: str | None = None) -> str:
    """Start an execution and return its ARN."""
    started = info.aws("stepfunctions").start_execution(
        stateMachineArn=machine_arn, name=name or f"local-{uuid.uuid4()}", input=json.dumps(inputs)
    )
    return str(started["executionArn"])


def start_and_follow(
    info: StackInfo, machine_arn: str, inputs: Mapping[str, Any], name: str | None = None
) -> tuple[str, Iterator[Progress]]:
    """Start an execution. Returns its ARN, and what its functions log until it has ended, its teams' included."""
    logs = _Logs(info.log_dir)
    arn = start(info, machine_arn, inputs, name)
    return arn, _follow(info, arn, logs)


def _follow(info: StackInfo, arn: str, logs: "_Logs") -> Iterator[Progress]:
    client = info.aws("stepfunctions")
    ended = False
    while True:
        for line in sorted(logs.new_lines(), key=lambda line: str(line["timestamp"])):
            if _belongs(line, arn):
                yield Progress(line["message"], line)
        if ended:
            return
        time.sleep(_POLL_SECONDS)
        ended = client.describe_execution(executionArn=arn)["status"] != "RUNNING"


def _belongs(line: Mapping[str, Any], arn: str) -> bool:
    """Whether a log line is of the execution or of a team's execution that it started."""
    execution_id = str(line.get("execution_id", ""))
    return execution_id == arn or f"-{run_hash(arn)}-" in execution_id


class _Logs:
    """Reads what is appended to the functions' log files from now on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read_to = {path: path.stat().st_size for path in directory.glob("*.log")}

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Complete structured lines that were appended since the last call; anything else in a log is passed over."""
        for path in sorted(self._directory.glob("*.log")):
            with path.open("rb") as log:
                log.seek(self._read_to.get(path, 0))
                complete, newline, _ = log.read().rpartition(b"\n")
            self._read_to[path] = self._read_to.get(path, 0) + len(complete) + len(newline)
            for line in complete.splitlines():
                if line.startswith(b'{"level"'):
                    yield json.loads(line)


def describe(info: StackInfo, arn: str) -> Execution:
    """The execution's state and, when it has ended, its result."""
    told = info.aws("stepfunctions").describe_execution(executionArn=arn)
    output = json.loads(told["output"]) if told.get("output") else None
    return Execution(arn, told["status"], output, told.get("error"), told.get("cause"))


def error_message(cause: str | None) -> str:
    """The message within a Lambda's error document, else the cause's first line."""
    try:
        return str(json.loads(cause or "")["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return (cause or "").partition("\n")[0]
