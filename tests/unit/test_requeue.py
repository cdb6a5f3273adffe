"""Queueing missing embeddings again: pages, time, models, and what cannot be queued."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from embedding.ports import Document, DocumentKey, EmbeddedVersion, PlacedSummary, SummaryPosition
from embedding.requests import content_hash
from embedding.requeue import RequeueInputs, RequeueResult, position_of, requeue, requeue_inputs
from trace_summarization import constants as c
from trace_summarization.errors import EmbeddingNotQueued, EmbeddingRequestRefused, InvalidConfiguration, InvalidInput
from trace_summarization.models import Window

FIRST = datetime(2025, 1, 15, 14, 10, 0, 123_456, tzinfo=UTC)
SUMMARIZED = datetime(2025, 1, 15, 15, 0, 0, 500_000, tzinfo=UTC)
GIVEN = {"team_id": 1, "window_start": "2025-01-15T14:00:00Z", "window_end": "2025-01-15T15:00:00Z"}
WINDOW = Window(datetime(2025, 1, 15, 14, tzinfo=UTC), datetime(2025, 1, 15, 15, tzinfo=UTC))
MODEL = "test-embedding-4"
CONTENT_HASH = content_hash("Refund\n- Asked")


def placed(number: int, **changes: Any) -> PlacedSummary:
    properties = {
        "$ai_trace_id": f"trace-{number}",
        "$ai_batch_run_id": "team_1",
        "$ai_summary_mode": "detailed",
        "$ai_summary_title": "Refund",
        "$ai_summary_flow_diagram": "",
        "$ai_summary_bullets": '[{"text": "Asked", "line_refs": ""}]',
        "$ai_summary_interesting_notes": "[]",
        "$ai_window_start": "2025-01-15T14:00:00Z",
        "$ai_window_end": "2025-01-15T15:00:00Z",
        "$ai_summarized_at": "2025-01-15T15:00:00.500000Z",
        **changes,
    }
    return PlacedSummary(SummaryPosition(FIRST.date(), number, UUID(int=number)), FIRST, properties)


@dataclass
class Shelf:
    """A store and a queue in memory. `away`: the broker takes nothing; `largest`: bytes that it takes of a message."""

    stored: Sequence[PlacedSummary]
    held: dict[tuple[str, str], EmbeddedVersion] = field(default_factory=dict)
    away: bool = False
    largest: int = c.MAX_KAFKA_MESSAGE_BYTES
    sent: list[bytes] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)

    def summaries(
        self, team_id: int, window: Window, after: SummaryPosition | None, limit: int
    ) -> Sequence[PlacedSummary]:
        assert (team_id, window) == (1, WINDOW)
        self.pages.append(limit)
        return [one for one in self.stored if after is None or one.position.uuid_hash > after.uuid_hash][:limit]

    def embedded(self, team_id: int, documents: Sequence[Document]) -> Mapping[DocumentKey, EmbeddedVersion]:
        assert team_id == 1
        keys = {document.key: self.held.get((document.document_id, document.model_name)) for document in documents}
        return {key: version for key, version in keys.items() if version is not None}

    def send_all(self, records: Sequence[tuple[str, bytes]]) -> Sequence[EmbeddingNotQueued | None]:
        if self.away:
            return [EmbeddingNotQueued("not confirmed by the broker: NoBrokersAvailable")] * len(records)
        errors = [
            EmbeddingRequestRefused("MessageSizeTooLargeError") if len(message) > self.largest else None
            for _, message in records
        ]
        self.sent += [message for (_, message), error in zip(records, errors, strict=True) if error is None]
        return errors


def run(shelf: Shelf, seconds_left: float = 285, models: Sequence[str] = (MODEL,), **given: Any) -> RequeueResult:
    return requeue(requeue_inputs({**GIVEN, **given}), models, shelf, shelf, lambda: seconds_left)


def test_pages_are_gone_through_to_the_end() -> None:
    shelf = Shelf([placed(number) for number in range(1_200)])
    assert run(shelf) == RequeueResult(summaries=1_200, missing=1_200, queued=1_200)
    assert shelf.pages == [500, 500, 500]


def test_a_limit_is_kept_and_next_goes_on_behind_it() -> None:
    shelf = Shelf([placed(number) for number in range(700)])
    first = run(shelf, limit=600)
    assert (first.queued, first.next) == (600, f"2025-01-15/599/{UUID(int=599)}")
    assert run(shelf, limit=600, after=first.next) == RequeueResult(summaries=100, missing=100, queued=100)
    assert len(set(shelf.sent)) == 700


def test_with_little_time_left_one_page_is_done_and_the_rest_left() -> None:
    shelf = Shelf([placed(number) for number in range(600)])
    result = run(shelf, seconds_left=100)
    assert (result.queued, result.next is None) == (500, False)


def test_a_dry_run_queues_nothing() -> None:
    shelf = Shelf([placed(1)])
    assert run(shelf, dry_run=True) == RequeueResult(summaries=1, missing=1)
    assert not shelf.sent


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        (EmbeddedVersion(SUMMARIZED, CONTENT_HASH), 0),
        (EmbeddedVersion(SUMMARIZED, "0" * 64), 1),
        (EmbeddedVersion(SUMMARIZED - timedelta(microseconds=1), CONTENT_HASH), 1),
        (EmbeddedVersion(SUMMARIZED + timedelta(microseconds=1), "0" * 64), 0),
    ],
)
def test_a_row_counts_that_is_of_this_very_summary_or_of_a_newer_one(version: EmbeddedVersion, missing: int) -> None:
    assert run(Shelf([placed(1)], {("trace-1", MODEL): version})).missing == missing


@pytest.mark.parametrize(
    "changes",
    [
        {"$ai_trace_id": ""},
        {"$ai_trace_id": "x" * 129},
        {"$ai_trace_id": 7},
        {"$ai_summary_mode": "verbose"},
        {"$ai_summary_title": None},
        {"$ai_summary_title": "lone \ud800 surrogate"},
        {"$ai_summary_bullets": "["},
        {"$ai_summary_bullets": '["text"]'},
        {"$ai_summary_bullets": "[" * 100_000},
        {"$ai_summary_bullets": [{"text": "no string", "line_refs": ""}]},
        {"$ai_summarized_at": "yesterday"},
        {"$ai_summarized_at": None},
    ],
)
def test_a_damaged_summary_is_counted_and_its_neighbours_are_queued(changes: dict[str, Any]) -> None:
    shelf = Shelf([placed(1), placed(2, **changes), placed(3)])
    assert run(shelf) == RequeueResult(summaries=2, missing=2, queued=2, damaged=1)


def test_an_event_without_any_summary_is_counted_as_damaged() -> None:
    one = placed(1)
    assert run(Shelf([PlacedSummary(one.position, FIRST, {"$raw": "text"})])) == RequeueResult(damaged=1)


def test_a_broker_that_is_away_ends_it_at_its_page() -> None:
    shelf = Shelf([placed(number) for number in range(1_200)])
    first = run(shelf, limit=500)
    shelf.away = True
    result = run(shelf, after=first.next)
    assert (result.failed, result.queued, result.next) == (500, 0, first.next)
    assert result.error == "EmbeddingNotQueued: not confirmed by the broker: NoBrokersAvailable"


def test_a_message_that_the_broker_refuses_for_its_own_sake_is_counted_and_the_next_page_comes() -> None:
    large = placed(1, **{"$ai_summary_title": "x" * 2_000})
    held = {(f"trace-{n}", MODEL): EmbeddedVersion(SUMMARIZED, CONTENT_HASH) for n in range(2, 501)}
    shelf = Shelf([large, *(placed(number) for number in range(2, 504))], held, largest=2_000)
    result = run(shelf)
    assert shelf.pages == [500, 500]
    assert result == RequeueResult(summaries=503, missing=4, queued=3, failed=1)


def test_a_broker_that_takes_nothing_is_away_though_one_message_is_too_large_for_it() -> None:
    @dataclass
    class Away(Shelf):
        def send_all(self, records: Sequence[tuple[str, bytes]]) -> Sequence[EmbeddingNotQueued | None]:
            _, *others = super().send_all(records)
            return [EmbeddingRequestRefused("message of 2000000 bytes"), *others]

    result = run(Away([placed(number) for number in range(1_200)], away=True))
    assert (result.failed, result.error) == (500, "EmbeddingNotQueued: not confirmed by the broker: NoBrokersAvailable")


def test_the_largest_stored_summary_gives_a_message_that_fits() -> None:
    size = c.MAX_STORED_SUMMARY_BYTES - 800
    shelf = Shelf([placed(1, **{"$ai_summary_title": "\x01" * (size // 6)})])
    assert run(shelf).queued == 1
    assert 900_000 < len(shelf.sent[0]) <= c.MAX_KAFKA_MESSAGE_BYTES


@pytest.mark.parametrize("models", [(), ("text-embedding",), tuple(f"m-{n}" for n in range(1, 12))])
def test_configured_models_that_nobody_can_embed_with_are_told(models: tuple[str, ...]) -> None:
    with pytest.raises(InvalidConfiguration, match="^EMBEDDING_MODELS: "):
        run(Shelf([placed(1)]), models=models)


def test_a_position_is_read_as_it_was_written() -> None:
    last = run(Shelf([placed(2**64 - 1)]), limit=1).next
    assert last is not None
    assert position_of(last) == SummaryPosition(date(2025, 1, 15), 2**64 - 1, UUID(int=2**64 - 1))


@pytest.mark.parametrize(
    "after", ["", "x", "2025-01-15/1", f"0001-01-01/1/{UUID(int=1)}", f"2025-01-15/{2**64}/{UUID(int=1)}"]
)
def test_what_is_no_position_is_refused(after: str) -> None:
    with pytest.raises(InvalidInput, match="^after: .* is no position"):
        requeue_inputs({**GIVEN, "after": after})


def test_every_input_but_the_window_and_team_has_a_default() -> None:
    assert requeue_inputs(GIVEN) == RequeueInputs(team_id=1, window_start=WINDOW.start, window_end=WINDOW.end)
