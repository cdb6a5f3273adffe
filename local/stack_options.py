"""How a stack starts: told without importing the engines, which takes seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from trace_summarization.constants import ALLOWED_TEAM_IDS

PollerMode = Literal["default", "provisioned"]


@dataclass(frozen=True)
class ModelEndpoint:
    """A model endpoint to use instead of the offline one."""

    base_url: str
    api_key: str = field(repr=False)
    provider: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """The endpoint that OPENAI_BASE_URL and OPENAI_API_KEY name; None when neither is set."""
        base_url, api_key = environment.get("OPENAI_BASE_URL"), environment.get("OPENAI_API_KEY")
        if not base_url and not api_key:
            return None
        return cls(base_url or "https://api.openai.com/v1", api_key or "unused")


@dataclass(frozen=True)
class StackOptions:
    """How a stack starts. Ports of 0 are chosen.

    `data_dir` holds logs and the allowlist, and ClickHouse's data when `persistent`. `function_environment` overrides
    variables by handler name (`summarize_trace`), `backoff_scale` shortens the waiting of every `Retry` and of
    the poller, and `context` adds CDK context keys. Without `poller` nothing reads the queue of embedding requests;
    `poller_mode` is the context key `kafka.poller`.
    """

    data_dir: Path
    persistent: bool = True
    aws_port: int = 0
    clickhouse_port: int = 0
    kafka_port: int = 0
    model_port: int = 0
    workers: int = 8
    model: ModelEndpoint | None = None
    model_latency_seconds: float = 0.0
    allowed_team_ids: tuple[int, ...] = ALLOWED_TEAM_IDS
    backoff_scale: float = 1.0
    function_environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    poller: bool = True
    poller_mode: PollerMode = "default"
