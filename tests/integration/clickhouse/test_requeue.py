"""Reading stored summaries page by page, and which of them are embedded; reading recorded windows."""

import json
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from adapters.clickhouse_batch_runs import ClickHouseBatchRuns, RecordedRun
from adapters.clickhouse_requeue import ClickHouseRequeueStore
from embedding.ports import Document, EmbeddedVersion, PlacedSummary
from embedding.requests import rendering
from tests.embedding_documents import document
from tests.integration.clickhouse.events_database import EventsDatabase, at, window
from trace_summarization import constants as c
from trace_summarization.events import summary_distinct_id, summary_event_id
from trace_summarization.models import BatchRunRow, BatchSummarizationMetrics, Mode, SkipReason, SummaryEvent, Window

TRACE_ID = 'it\'s "a" [trace], \\ \n\t😀'
DAY = date(2025, 1, 15)


def store_of(database: EventsDatabase) -> ClickHouseRequeueStore:
    return ClickHouseRequeueStore(database.connection, database.name, database.events_table)


def save(
    database: EventsDatabase, trace_id: str, timestamp: datetime, team_id: int = 1, mode: Mode = "detailed", **more: Any
) -> None:
    database.summaries.save(
        SummaryEvent(
            uuid=summary_event_id(team_id, trace_id, mode),
            team_id=team_id,
            distinct_id=summary_distinct_id(team_id),
            timestamp=timestamp,
            properties={"$ai_trace_id": trace_id, "$ai_summary_mode": mode, **more},
        )
    )


def ids(page: list[PlacedSummary] | Any) -> set[str]:
    return {summary.properties["$ai_trace_id"] for summary in page}


def paged(store: ClickHouseRequeueStore, span: Window, size: int) -> list[PlacedSummary]:
    found: list[PlacedSummary] = []
    while page := store.summaries(1, span, found[-1].position if found else None, size):
        found += page
        assert len(page) <= size
    return found


def embed(database: EventsDatabase, trace_id: str, model: str, content_hash: str, **changes: Any) -> None:
    row = {
        "team_id": 1,
        "product": c.EMBEDDING_PRODUCT,
        "document_type": c.EMBEDDING_DOCUMENT_TYPE,
        "model_name": model,
        "rendering": rendering("detailed"),
        "document_id": trace_id,
        "timestamp": at("14:10"),
        "summarized_at": at("15:00"),
        "content_hash": content_hash,
        "embedding": [0.5, -0.25],
        **changes,
    }
    database.client.insert(f"{database.name}.document_embeddings", [list(row.values())], column_names=list(row))


def wanted(trace_id: str, **changes: Any) -> Document:
    return document(trace_id, **{"model_name": "small-1536", "timestamp": at("14:10"), **changes})


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_pages_together_are_the_windows_summaries_each_once(database: EventsDatabase, size: int) -> None:
    for number in range(6):
        save(database, f"late-{number}", at("23:59:59.999999"))
        save(database, f"early-{number}", at("00:00", day=16))
    found = paged(store_of(database), Window(at("14:00"), at("01:00", day=16)), size)
    assert len(found) == 12
    assert ids(found) == {f"{part}-{number}" for part in ("late", "early") for number in range(6)}
    assert [summary.position.day for summary in found] == [DAY] * 6 + [date(2025, 1, 16)] * 6


def test_a_window_holds_its_start_and_not_its_end(database: EventsDatabase) -> None:
    save(database, "before", at("13:59:59.999999"))
    save(database, "start", at("14:00"))
    save(database, "last", at("14:59:59.999999"))
    save(database, "end", at("15:00"))
    assert ids(store_of(database).summaries(1, window("14:00", "15:00"), None, 10)) == {"start", "last"}


def test_of_another_team_and_of_other_events_nothing_is_told(database: EventsDatabase) -> None:
    save(database, "other team", at("14:10"), team_id=2)
    database.insert(database.event("a trace", at("14:10")), database.event("s", at("14:10"), event="$ai_trace_summary"))
    assert store_of(database).summaries(1, window("14:00", "15:00"), None, 10) == []


def test_a_rerun_summary_is_told_once_in_its_newest_version(database: EventsDatabase) -> None:
    for number in range(3):
        save(database, TRACE_ID, at("14:10"), number=number)
    (found,) = store_of(database).summaries(1, window("14:00", "15:00"), None, 10)
    assert found.properties["number"] == 2
    assert (found.properties["$ai_trace_id"], found.timestamp) == (TRACE_ID, at("14:10"))
    assert found.position.uuid == UUID(summary_event_id(1, TRACE_ID, "detailed"))


def test_a_row_longer_than_any_summary_is_told_without_its_text(database: EventsDatabase) -> None:
    row = (
        summary_event_id(1, TRACE_ID, "detailed"),
        c.EVENT_NAME_TRACE_SUMMARY,
        json.dumps({"$ai_trace_id": "x" * c.MAX_STORED_SUMMARY_BYTES}),
        at("14:10"),
        1,
        summary_distinct_id(1),
        at("15:00"),
    )
    database.insert(row)
    (found,) = store_of(database).summaries(1, window("14:00", "15:00"), None, 10)
    assert found.properties == {"$raw": ""}


def test_a_page_reads_few_rows_of_many(database: EventsDatabase) -> None:
    """50 days with 4,000 summaries and 8,000 other events each, one of them with 100,000 summaries."""
    for event, distinct_id, start, count, seconds in (
        ("$pageview", "toString(number)", "2025-01-01", 400_000, 50 * 86_400),
        (c.EVENT_NAME_TRACE_SUMMARY, "'trace_summary_1'", "2025-01-01", 200_000, 50 * 86_400),
        (c.EVENT_NAME_TRACE_SUMMARY, "'trace_summary_1'", "2025-01-15", 100_000, 86_400),
    ):
        database.client.command(
            f"INSERT INTO {database.events_table} SELECT generateUUIDv4(), '{event}', '{{}}', "
            f"toDateTime64('{start} 00:00:00', 6, 'UTC') + number % {seconds}, 1, "
            f"{distinct_id}, now64(6) FROM numbers({count})"
        )
    database.client.command(f"OPTIMIZE TABLE {database.events_table} FINAL")
    store = store_of(database)
    span = Window(at("00:00"), at("00:00", day=17))
    first = store.summaries(1, span, None, 30_000)
    database.client.command("SYSTEM DROP QUERY CONDITION CACHE")
    for after in (None, first[0].position, first[-1].position):
        read = database.selected_rows(partial(store.summaries, 1, span, after, 500))
        assert read <= 3 * 8_192


def test_the_days_versions_are_told_by_model_and_form(database: EventsDatabase) -> None:
    embed(database, TRACE_ID, "small-1536", "hash")
    embed(database, TRACE_ID, "large-3072", "other", rendering=rendering("minimal"))
    embed(database, TRACE_ID, "unwanted-8", "hash")
    embed(database, "another", "small-1536", "hash")
    embed(database, TRACE_ID, "small-1536", "hash", team_id=2)
    embed(database, TRACE_ID, "small-1536", "hash", timestamp=at("14:10", day=17))
    embed(database, TRACE_ID, "small-1536", "hash", product="another")
    embed(database, TRACE_ID, "small-1536", "hash", document_type="another")
    asked = [
        wanted(TRACE_ID),
        wanted(TRACE_ID, model_name="large-3072", rendering=rendering("minimal")),
        wanted("unembedded"),
        wanted("next day", timestamp=at("14:10", day=16)),
    ]
    assert store_of(database).embedded(1, asked) == {
        asked[0].key: EmbeddedVersion(at("15:00"), "hash"),
        asked[1].key: EmbeddedVersion(at("15:00"), "other"),
    }


def test_ids_that_do_not_fit_one_parameter_are_looked_for_in_parts(database: EventsDatabase) -> None:
    ids = [f"{'😀' * 120}-{number}" for number in range(500)]
    for trace_id in (ids[0], ids[-1]):
        embed(database, trace_id, "small-1536", "hash")
    found = store_of(database).embedded(1, [wanted(trace_id) for trace_id in ids])
    assert {key.document_id for key in found} == {ids[0], ids[-1]}


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_the_version_told_is_the_newest_summarys(database: EventsDatabase, order: tuple[str, str]) -> None:
    summarized = {"old": at("15:00"), "new": at("16:00:00.000001")}
    for content_hash in order:
        embed(database, TRACE_ID, "small-1536", content_hash, summarized_at=summarized[content_hash])
    found = store_of(database).embedded(1, [wanted(TRACE_ID)])
    assert list(found.values()) == [EmbeddedVersion(at("16:00:00.000001"), "new")]


def test_looking_for_versions_reads_few_rows_of_many(database: EventsDatabase) -> None:
    """200,000 rows of 50 days: a page of one day's documents reads that day, and no vector outside of it."""
    database.client.command(
        f"INSERT INTO {database.name}.document_embeddings (team_id, product, document_type, model_name, rendering, "
        "document_id, timestamp, summarized_at, content_hash, embedding) "
        f"SELECT 1, '{c.EMBEDDING_PRODUCT}', '{c.EMBEDDING_DOCUMENT_TYPE}', 'small-1536', 'llma_trace_detailed', "
        "'trace-' || toString(number), toDateTime64('2025-01-01 00:00:00', 6, 'UTC') + intDiv(number, 4000) * 86400, "
        "now64(6), 'hash', [0.5] FROM numbers(200000)"
    )
    database.client.command(f"OPTIMIZE TABLE {database.name}.document_embeddings FINAL")
    page = [wanted(f"trace-{number}", timestamp=at("00:00")) for number in range(56_000, 56_500)]
    store = store_of(database)
    assert len(store.embedded(1, page)) == 500
    database.client.command("SYSTEM DROP QUERY CONDITION CACHE")
    read = database.selected_rows(lambda: store.embedded(1, page))
    assert read <= 6 * 1_024


def record(database: EventsDatabase, span: Window, team_id: int = 1, mode: Mode = "detailed", **metrics: Any) -> None:
    counted = BatchSummarizationMetrics(**metrics)
    finished_at = datetime.now(UTC)
    database.summaries.save_batch_run(BatchRunRow(team_id, span, mode, "team_1_x", "run", finished_at, counted))


def test_recorded_runs_of_the_team_and_mode_that_reach_into_the_span_are_told(database: EventsDatabase) -> None:
    record(database, window("13:00", "14:00"))
    record(database, window("13:30", "14:30"))
    record(database, window("14:50", "15:50"), summaries_failed=2, summaries_skipped_by_reason={SkipReason.BUDGET: 3})
    record(database, window("15:00", "16:00"))
    record(database, window("14:00", "15:00"), team_id=2)
    record(database, window("14:00", "15:00"), mode="minimal")
    runs = ClickHouseBatchRuns(database.connection, database.name)
    assert runs.recorded(1, "detailed", window("14:00", "15:00")) == [
        RecordedRun(window("13:30", "14:30"), {}, 0),
        RecordedRun(window("14:50", "15:50"), {"budget": 3}, 2),
    ]


def test_of_a_window_that_was_run_again_the_last_run_counts(database: EventsDatabase) -> None:
    record(database, window("14:00", "15:00"), summaries_skipped_by_reason={SkipReason.BUDGET: 3})
    record(database, window("14:00", "15:00"))
    runs = ClickHouseBatchRuns(database.connection, database.name)
    assert runs.recorded(1, "detailed", window("14:00", "15:00")) == [RecordedRun(window("14:00", "15:00"), {}, 0)]
