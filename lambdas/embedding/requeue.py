"""Queue anew the summaries that have no row for an embedding model: after a change of model, or a lost queue."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from embedding.messages import MAX_MODELS, BrokenMessage, parse_message
from embedding.models import EmbeddingModelName
from embedding.ports import (
    Document,
    EmbeddedVersion,
    EmbeddingBatchQueue,
    PlacedSummary,
    RequeueStore,
    SummaryPosition,
)
from embedding.requests import embedding_request, encode, message_key
from trace_summarization import constants as c
from trace_summarization.errors import InvalidConfiguration, InvalidInput
from trace_summarization.inputs import parse_inputs
from trace_summarization.models import Mode, TeamId, Window
from trace_summarization.timestamps import UtcSeconds, format_rfc3339

_PAGE: Final = 500  # summaries held in memory at once, a few kilobytes each
_DEFAULT_LIMIT: Final = 10_000
_MAX_LIMIT: Final = 100_000
# Two queries and the confirmations of a page, each running into its own limit: with less left, no page is begun.
_PAGE_SECONDS: Final = 2 * c.CLICKHOUSE_CLIENT_TIMEOUT_SECONDS + c.KAFKA_DELIVERY_TIMEOUT_SECONDS + 15
# What ClickHouse's Date and DateTime hold, with a day to spare at either end.
_EARLIEST: Final = datetime.fromisoformat("1970-01-02T00:00:00+00:00")
_LATEST: Final = datetime.fromisoformat("2106-01-01T00:00:00+00:00")


def _embedding_model(name: str) -> str:
    EmbeddingModelName.parse(name)
    return name


def _storable(moment: datetime) -> datetime:
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError(f"should be between {format_rfc3339(_EARLIEST)} and {format_rfc3339(_LATEST)}")
    return moment


def _position(text: str) -> str:
    position_of(text)
    return text


_StorableTime = Annotated[UtcSeconds, AfterValidator(_storable)]


class RequeueInputs(BaseModel):
    """Which summaries, for which models."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    team_id: TeamId
    window_start: _StorableTime = Field(description="Summaries of traces that begin from here on.")
    window_end: _StorableTime = Field(description="End of the window, itself excluded.")
    mode: Mode | None = Field(None, description="Summaries of one mode only. Default: of both.")
    models: list[Annotated[str, AfterValidator(_embedding_model)]] | None = Field(
        None,
        min_length=1,
        max_length=MAX_MODELS,
        description="Embedding models whose rows are wanted. Default: the configured ones.",
    )
    limit: int = Field(
        _DEFAULT_LIMIT, ge=1, le=_MAX_LIMIT, description="Summaries looked at in one invocation at most."
    )
    after: Annotated[str, AfterValidator(_position)] | None = Field(
        None, description="`next` of the invocation before: go on behind it."
    )
    dry_run: bool = Field(False, description="Only count: nothing is queued.")

    @property
    def window(self) -> Window:
        """The window of the traces' first events."""
        return Window(self.window_start, self.window_end)


class RequeueResult(BaseModel):
    """What one invocation did.

    `missing`: summaries without a row for at least one wanted model; missing = queued + failed, but in a dry run.
    `damaged`: rows that hold no whole summary. `next`: where the next invocation goes on, None when all is done.
    `error`: why it stopped early; the page that failed is looked at again from `next` on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    summaries: int = 0
    missing: int = 0
    queued: int = 0
    failed: int = 0
    damaged: int = 0
    next: str | None = None
    error: str | None = None

    def with_page(self, page: "RequeueResult") -> "RequeueResult":
        """Add what a further page came to; `next` and `error` are the page's."""
        return RequeueResult(
            summaries=self.summaries + page.summaries,
            missing=self.missing + page.missing,
            queued=self.queued + page.queued,
            failed=self.failed + page.failed,
            damaged=self.damaged + page.damaged,
            next=page.next,
            error=page.error,
        )


def requeue_inputs(raw: object) -> RequeueInputs:
    """The invocation's checked input. Raises InvalidInput."""
    inputs = parse_inputs(RequeueInputs, raw)
    if inputs.window_start >= inputs.window_end:
        raise InvalidInput(
            f"window_start: {format_rfc3339(inputs.window_start)} is not before "
            f"window_end {format_rfc3339(inputs.window_end)}; it must be earlier"
        )
    return inputs


def position_of(text: str) -> SummaryPosition:
    """The position that `next` stands for. Raises ValueError."""
    wrong = "is no position; leave it out, or give `next` of the invocation before"
    try:
        day, uuid_hash, uuid = text.split("/")
        position = SummaryPosition(date.fromisoformat(day), int(uuid_hash), UUID(uuid))
    except ValueError as error:
        raise ValueError(wrong) from error
    if not _EARLIEST.date() <= position.day <= _LATEST.date() or not 0 <= position.uuid_hash < 2**64:
        raise ValueError(wrong)
    return position


def requeue(
    inputs: RequeueInputs,
    configured_models: Sequence[str],
    store: RequeueStore,
    queue: EmbeddingBatchQueue,
    seconds_left: Callable[[], float],
) -> RequeueResult:
    """Queue the requests that the window's summaries lack, page by page, as far as limit and time allow.

    Damaged summaries and requests that could not be queued are counted. When the broker takes none of a page, it is
    left there. Raises InvalidConfiguration, the `ClickHouse*` errors, and what reading the queue's secret raises.
    """
    models = inputs.models or _checked(configured_models)
    done = RequeueResult(next=inputs.after)
    looked_at = 0
    while looked_at < inputs.limit and (looked_at == 0 or seconds_left() >= _PAGE_SECONDS):
        size = min(_PAGE, inputs.limit - looked_at)
        begins = done.next
        page = store.summaries(inputs.team_id, inputs.window, None if begins is None else position_of(begins), size)
        looked_at += len(page)
        counted = _requeue_page(inputs, page, models, store, queue)
        if counted.error is not None:
            return done.with_page(counted.model_copy(update={"next": begins}))
        ended = len(page) < size
        done = done.with_page(counted.model_copy(update={"next": None if ended else _text(page[-1].position)}))
        if ended:
            break
    return done


def _checked(configured_models: Sequence[str]) -> list[str]:
    """Raises InvalidConfiguration: with a name that nobody can embed with, every summary would count as damaged."""
    try:
        names = [str(EmbeddingModelName.parse(name)) for name in configured_models]
    except ValueError as error:
        raise InvalidConfiguration(f"EMBEDDING_MODELS: each {error}") from error
    if not 1 <= len(names) <= MAX_MODELS:
        raise InvalidConfiguration(f"EMBEDDING_MODELS: {len(names)} models; allowed are 1 to {MAX_MODELS}")
    return names


def _requeue_page(
    inputs: RequeueInputs,
    page: Sequence[PlacedSummary],
    models: Sequence[str],
    store: RequeueStore,
    queue: EmbeddingBatchQueue,
) -> RequeueResult:
    built = [_request(inputs.team_id, summary, models) for summary in page]
    sound = [request for request in built if request is not None]
    wanted = [request for request in sound if inputs.mode in (None, request.fields["rendering"].rpartition("_")[2])]
    missing = _missing(inputs.team_id, wanted, store)
    counted = RequeueResult(summaries=len(wanted), missing=len(missing), damaged=len(built) - len(sound))
    if inputs.dry_run or not missing:
        return counted
    errors = queue.send_all([(message_key(message), encode(message)) for message in missing])
    failures = [error for error in errors if error is not None]
    none_taken = len(failures) == len(missing)
    return counted.model_copy(
        update={
            "queued": len(missing) - len(failures),
            "failed": len(failures),
            "error": f"EmbeddingNotQueued: {failures[0]}" if none_taken else None,
        }
    )


@dataclass(frozen=True)
class _Request:
    """The embedding request of a stored summary for all wanted models, and its documents as the worker reads them."""

    fields: Mapping[str, Any]
    documents: Sequence[Document]


def _request(team_id: int, summary: PlacedSummary, models: Sequence[str]) -> _Request | None:
    """None when the stored event holds no summary of which the worker would take a request."""
    try:
        fields = embedding_request(team_id, summary.timestamp, summary.properties, models)
        return _Request(fields, parse_message(encode(fields)).documents())
    except (BrokenMessage, KeyError, TypeError, ValueError, RecursionError):
        return None


def _missing(team_id: int, requests: Sequence[_Request], store: RequeueStore) -> list[Mapping[str, Any]]:
    """The message of each summary that lacks a model's row, for just the models that it lacks."""
    stored = store.embedded(team_id, [document for request in requests for document in request.documents])
    messages: list[Mapping[str, Any]] = []
    for request in requests:
        lacking = [one.model_name for one in request.documents if _is_missing(one, stored.get(one.key))]
        if lacking:
            messages.append({**request.fields, "models": lacking})
    return messages


def _is_missing(document: Document, stored: EmbeddedVersion | None) -> bool:
    # A row may be of a newer summary than the one that was read: that one's own request has been queued since.
    return stored is None or not stored.stands_for(document)


def _text(position: SummaryPosition) -> str:
    return f"{position.day.isoformat()}/{position.uuid_hash}/{position.uuid}"
