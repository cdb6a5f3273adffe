"""What a Lambda function is, and what running it once gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ACCOUNT_ID", "REGION", "FunctionSpec", "InvocationResult"]

ACCOUNT_ID = "123456789012"  # moto's default account
REGION = "us-east-1"
_MAX_TIMEOUT_SECONDS = 900
_MIN_MEMORY_MB = 128
_MAX_MEMORY_MB = 10_240


@dataclass(frozen=True)
class FunctionSpec:
    """A Lambda function.

    Args:
        name: as in its ARN.
        handler: `module.function`, the module's path relative to the task root.
        task_root: folder with the function's unpacked bundle.
        timeout_seconds: of one invocation, up to 900.
        memory_mb: 128 to 10,240; told to the function, not enforced.
        environment: its own variables; nothing of this process's environment reaches it but PATH.

    Raises:
        ValueError: names the field, the value and what is allowed.
    """

    name: str
    handler: str
    task_root: Path
    timeout_seconds: float
    memory_mb: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name: a function needs one, got ''")
        if "." not in self.handler:
            raise ValueError(f"handler: expected module.function for {self.name}, got {self.handler!r}")
        if not self.task_root.is_dir():
            raise ValueError(f"task_root: not a folder for {self.name}: {self.task_root}")
        if not 0 < self.timeout_seconds <= _MAX_TIMEOUT_SECONDS:
            raise ValueError(
                f"timeout_seconds: expected more than 0 and at most {_MAX_TIMEOUT_SECONDS} for {self.name},"
                f" got {self.timeout_seconds}"
            )
        if not _MIN_MEMORY_MB <= self.memory_mb <= _MAX_MEMORY_MB:
            raise ValueError(
                f"memory_mb: expected {_MIN_MEMORY_MB} to {_MAX_MEMORY_MB} for {self.name}, got {self.memory_mb}"
            )

    @property
    def arn(self) -> str:
        """ARN in the local account."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.name}"


@dataclass(frozen=True)
class InvocationResult:
    """Outcome of one invocation, as AWS's Invoke API gives it.

    Args:
        payload: JSON; of a failed function an object with `errorType` and `errorMessage`.
        function_error: `Unhandled` when the function failed, else None.
    """

    payload: bytes
    function_error: str | None = None
