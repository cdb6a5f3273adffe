"""What the domain asks of the outside world. `adapters/` implements these; nothing here imports a driver."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from trace_summarization.models import (
    BatchRunRow,
    Mode,
    ModelUsage,
    StoredSummary,
    SummaryEvent,
    TraceEvent,
    TraceExtent,
    Window,
)


class TraceStore(Protocol):
    """Reads traces. Every call names a team and a span of time. Errors: the `ClickHouse*` classes."""

    def sample(self, team_id: int, window: Window, limit: int) -> Sequence[str]:
        """Ids of the traces that begin in the window, ordered by their hash, the first `limit`.

        An id longer than allowed is cut to one character more than allowed: enough to count and to skip it.
        """

    def extent(self, team_id: int, trace_id: str, window: Window) -> TraceExtent | None:
        """First and last event, count and bytes of a trace, searched `MAX_TRACE_DURATION_HOURS` around the window.

        None when it is not there.
        """

    def events(self, team_id: int, trace_id: str, extent: TraceExtent) -> Sequence[TraceEvent]:
        """All events of the trace between its first and last, each once, by time."""


class SummaryStore(Protocol):
    """Reads and writes what a summary leaves behind. Errors: the `ClickHouse*` classes."""

    def find(self, team_id: int, trace_id: str, mode: Mode, first_event: datetime) -> StoredSummary | None:
        """The stored summary, searched around the trace's first event."""

    def save(self, event: SummaryEvent) -> None:
        """Insert a summary event; an event with the same sort key replaces the earlier one."""

    def embedded_models(
        self,
        team_id: int,
        trace_id: str,
        mode: Mode,
        timestamp: datetime,
        summarized_at: datetime,
        content_hash: str,
    ) -> frozenset[str]:
        """Names of the embedding models whose newest row of this document is of this very summary, with this content.

        One of an earlier summary does not count, though its content be the same: a message of another one, still in the
        queue, could replace it.
        """

    def save_batch_run(self, row: BatchRunRow) -> None:
        """Record that a window of a team is done."""


class Reservation(Protocol):
    """Money set aside for one paid call. Exactly one of its methods is called, once.

    None of them raises: a ledger that does not answer leaves all of it spent, and an answer that is paid for is used.
    """

    def settle(self, usage: ModelUsage) -> None:
        """The call was answered: what it took stays spent, the rest is given back."""

    def release(self) -> None:
        """The call was refused before the model ran (429, 503, most 4xx, no connection): all is given back."""

    def keep(self) -> None:
        """Whether it is billed is unknown (timed out, reset, 504, a content filter): all of it counts as spent."""


class Spending(Protocol):
    """What a team's run may still spend. Asked before every paid call, repairs and retries included."""

    def reserve(
        self, model: str, input_tokens: int, max_output_tokens: int, service_tier: str | None, wait_seconds: float
    ) -> Reservation:
        """Set aside the most that the call can cost; wait so long, while others may give back what is missing.

        Raises BudgetExhausted or SpendingUnavailable: nothing is paid.
        """


@dataclass(frozen=True)
class ChatMessage:
    """One turn of what a model is asked."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class ModelRequest:
    """What a model is asked for: a summary in the mode's response schema.

    `input_tokens` is what the provider is expected to count for all of it, the schema included; `max_output_tokens` is
    where the answer is cut off, reasoning included. Both together are what the request can cost at most.
    """

    model: str
    mode: Mode
    messages: tuple[ChatMessage, ...]
    input_tokens: int
    max_output_tokens: int


@dataclass(frozen=True)
class ModelAnswer:
    """The text that the model answered with, whether it was cut off at the output limit, and what it took."""

    content: str
    usage: ModelUsage
    is_cut_off: bool = False


class SummaryModel(Protocol):
    """A chat model that answers in JSON. Errors: the `Model*` classes."""

    @property
    def provider(self) -> str:
        """Who answers: part of a summary's identity, so that a change of provider is not mistaken for a rerun."""

    def answer(self, request: ModelRequest, timeout_seconds: float, spending: Spending) -> ModelAnswer:
        """Ask for a summary, within the time: waits and retries are part of it.

        Each HTTP request is reserved with `spending` before it is sent, and settled, released or kept after it.
        Raises BudgetExhausted and SpendingUnavailable only while nothing was paid.
        """


class EmbeddingQueue(Protocol):
    """Takes embedding requests."""

    def send(self, key: str, message: bytes) -> None:
        """Return when the broker confirmed the record. Raises EmbeddingNotQueued or a configuration error."""
