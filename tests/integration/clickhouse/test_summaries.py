"""Summaries, embeddings, finished windows: what is saved is found, and a rerun replaces it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from embedding.requests import rendering
from tests.integration.clickhouse.events_database import EventsDatabase, at, window
from trace_summarization import constants as c
from trace_summarization.events import summary_distinct_id, summary_event_id
from trace_summarization.models import BatchRunRow, BatchSummarizationMetrics, Mode, SkipReason, SummaryEvent

TRACE_ID = 'it\'s "a" trace\n😀'


def summary(
    timestamp: datetime, trace_id: str = TRACE_ID, team_id: int = 1, mode: Mode = "detailed", **properties: Any
) -> SummaryEvent:
    return SummaryEvent(
        uuid=summary_event_id(team_id, trace_id, mode),
        team_id=team_id,
        distinct_id=summary_distinct_id(team_id),
        timestamp=timestamp,
        properties={"$ai_trace_id": trace_id, "$ai_summary_mode": mode, **properties},
    )


def test_a_saved_summary_is_found_as_it_was(database: EventsDatabase) -> None:
    event = summary(at("14:10:00.123456"), title='Ünïcode 😀 " \\ \n \x00 \ud800', tokens=None, count=7)
    database.summaries.save(event)
    found = database.summaries.find(1, TRACE_ID, "detailed", at("14:10:00.123456"))
    assert found is not None
    assert found.timestamp == at("14:10:00.123456")
    assert found.properties == {**event.properties, "title": 'Ünïcode 😀 " \\ \n \x00 ?'}


def test_a_summary_is_stored_as_an_event_of_its_own(database: EventsDatabase) -> None:
    database.summaries.save(summary(at("14:10")))
    ((uuid, event, team_id, distinct_id, created_at),) = database.rows(
        "SELECT toString(uuid), event, team_id, distinct_id, created_at FROM {db}.events"
    )
    assert (uuid, event) == (summary_event_id(1, TRACE_ID, "detailed"), c.EVENT_NAME_TRACE_SUMMARY)
    assert (team_id, distinct_id) == (1, "trace_summary_1")
    assert abs(created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert database.value("SELECT count() FROM {db}.trace_index") == 0


def test_the_newest_row_of_a_summary_is_found_and_the_others_go(database: EventsDatabase) -> None:
    for number in range(3):
        database.summaries.save(summary(at("14:10"), number=number))
    found = database.summaries.find(1, TRACE_ID, "detailed", at("14:10"))
    assert found is not None
    assert found.properties["number"] == 2
    database.client.command(f"OPTIMIZE TABLE {database.events_table} FINAL")
    assert database.value("SELECT count() FROM {db}.events") == 1
    assert database.summaries.find(1, TRACE_ID, "detailed", at("14:10")) == found


@pytest.mark.parametrize(("hours", "there"), [(-24, True), (-25, False), (0, True), (9, True), (24, True), (25, False)])
def test_a_summary_is_searched_24_hours_around_the_first_event(
    database: EventsDatabase, hours: int, there: bool
) -> None:
    database.summaries.save(summary(at("14:10") + timedelta(hours=hours)))
    assert (database.summaries.find(1, TRACE_ID, "detailed", at("14:10")) is not None) is there


def test_another_team_trace_or_mode_is_another_summary(database: EventsDatabase) -> None:
    database.summaries.save(summary(at("14:10")))
    assert database.summaries.find(2, TRACE_ID, "detailed", at("14:10")) is None
    assert database.summaries.find(1, "other", "detailed", at("14:10")) is None
    assert database.summaries.find(1, TRACE_ID, "minimal", at("14:10")) is None


def test_broken_stored_properties_are_kept_as_text(database: EventsDatabase) -> None:
    row = (
        summary_event_id(1, TRACE_ID, "detailed"),
        c.EVENT_NAME_TRACE_SUMMARY,
        b"\xff not JSON",
        at("14:10"),
        1,
        summary_distinct_id(1),
        at("15:00"),
    )
    database.insert(row)
    found = database.summaries.find(1, TRACE_ID, "detailed", at("14:10"))
    assert found is not None
    assert found.properties == {"$raw": "� not JSON"}


def test_finding_a_summary_reads_few_rows_of_many(database: EventsDatabase) -> None:
    """200,000 events and 20,000 summaries of the team's day: all parts of the sort key are used."""
    for event, distinct_id, count in (
        ("$pageview", "toString(number)", 200_000),
        (c.EVENT_NAME_TRACE_SUMMARY, "'trace_summary_1'", 20_000),
    ):
        database.client.command(
            f"INSERT INTO {database.events_table} SELECT generateUUIDv4(), '{event}', '{{}}', "
            "toDateTime64('2025-01-15 00:00:00', 6, 'UTC') + number % 86400, 1, "
            f"{distinct_id}, now64(6) FROM numbers({count})"
        )
    database.summaries.save(summary(at("14:10")))
    database.client.command(f"OPTIMIZE TABLE {database.events_table} FINAL")
    database.client.command("SYSTEM DROP QUERY CONDITION CACHE")
    read = database.selected_rows(lambda: database.summaries.find(1, TRACE_ID, "detailed", at("14:10")))
    assert read <= 2 * 8_192


def embed(database: EventsDatabase, model: str, content_hash: str, **changes: Any) -> None:
    row = {
        "team_id": 1,
        "product": c.EMBEDDING_PRODUCT,
        "document_type": c.EMBEDDING_DOCUMENT_TYPE,
        "model_name": model,
        "rendering": rendering("detailed"),
        "document_id": TRACE_ID,
        "timestamp": at("14:10"),
        "summarized_at": at("15:00"),
        "content_hash": content_hash,
        "embedding": [0.5, -0.25],
        **changes,
    }
    database.client.insert(f"{database.name}.document_embeddings", [list(row.values())], column_names=list(row))


def embedded(database: EventsDatabase, content_hash: str = "hash", summarized_at: str = "15:00") -> frozenset[str]:
    """Models that need no request for this summary of the trace."""
    return database.summaries.embedded_models(1, TRACE_ID, "detailed", at("14:10"), at(summarized_at), content_hash)


def test_models_that_hold_the_summary_are_named(database: EventsDatabase) -> None:
    for model, content_hash in (("small-1536", "hash"), ("large-3072", "hash"), ("old-256", "another")):
        embed(database, model, content_hash)
    assert embedded(database) == {"small-1536", "large-3072"}


@pytest.mark.parametrize(
    "changes",
    [
        {"team_id": 2},
        {"document_id": "other"},
        {"rendering": rendering("minimal")},
        {"timestamp": at("14:10", day=16)},
        {"product": "another"},
        {"document_type": "another"},
    ],
)
def test_another_documents_embedding_does_not_count(database: EventsDatabase, changes: dict[str, Any]) -> None:
    embed(database, "small-1536", "hash", **changes)
    assert embedded(database) == frozenset()


@pytest.mark.parametrize("summarized_at", ["14:59:59.999999", "15:00:00.000001"])
def test_another_summarys_embedding_does_not_count_though_its_content_be_the_same(
    database: EventsDatabase, summarized_at: str
) -> None:
    """Else a message of a summary in between, which is still queued, would replace it with another content."""
    embed(database, "small-1536", "hash", summarized_at=at(summarized_at))
    assert embedded(database) == frozenset()


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_the_newest_summarys_vector_counts_in_any_order_of_arrival(
    database: EventsDatabase, order: tuple[str, str]
) -> None:
    summarized = {"old": "15:00", "new": "16:00"}
    for content_hash in order:
        embed(database, "small-1536", content_hash, summarized_at=at(summarized[content_hash]))
    for _ in range(2):
        assert embedded(database, "new", "16:00") == {"small-1536"}
        assert embedded(database, "old", "15:00") == frozenset()
        database.client.command(f"OPTIMIZE TABLE {database.name}.document_embeddings FINAL")


def test_a_finished_window_is_recorded_once_with_its_metrics(database: EventsDatabase) -> None:
    metrics = BatchSummarizationMetrics(
        traces_queried=10,
        summaries_skipped=2,
        summaries_failed=1,
        summaries_generated=7,
        summaries_reused=3,
        embedding_requests_succeeded=5,
        embedding_requests_failed=1,
        embedding_requests_unneeded=1,
        summaries_skipped_by_reason={SkipReason.TEXT_TOO_LONG: 2},
        duration_seconds=12.5,
        max_cost_usd=5.0,
        cost_usd=0.25,
        model_calls=8,
        input_tokens=90_000,
        cached_input_tokens=40_000,
        output_tokens=6_000,
        tokens_are_estimated=True,
        price_version="2026-11-24",
    )
    for run in ("first", "second"):
        finished_at = at("15:10:00.25" if run == "first" else "15:20")
        database.summaries.save_batch_run(
            BatchRunRow(1, window("14:00", "15:00"), "detailed", "team_1_x", run, finished_at, metrics)
        )
    ((row),) = database.rows("SELECT * EXCEPT inserted_at FROM {db}.batch_runs FINAL")
    assert row == (
        *(1, at("14:00"), at("15:00"), "detailed", "team_1_x", "second", at("15:20")),
        *(10, 2, 1, 7, 3, 5, 1, 1, {"text_too_long": 2}, 12.5),
        *(5.0, 0.25, 8, 90_000, 40_000, 6_000, True, "2026-11-24"),
    )


def test_every_metric_has_its_column(database: EventsDatabase) -> None:
    columns = "SELECT name FROM system.columns WHERE database = {database:String} AND table = 'batch_runs'"
    names = {name for (name,) in database.rows(columns, database=database.name)}
    # A dry run leaves no record.
    of_a_dry_run = {"traces_estimated", "estimated_input_tokens", "estimated_cost_usd"}
    assert set(BatchSummarizationMetrics.model_fields) - of_a_dry_run <= names


def test_many_writers_at_once_all_get_their_row_in(database: EventsDatabase) -> None:
    for number in range(20):
        database.summaries.save(summary(at("14:10"), trace_id=f"trace-{number}"))
    stored = database.rows("SELECT properties FROM {db}.events")
    assert {json.loads(text)["$ai_trace_id"] for (text,) in stored} == {f"trace-{number}" for number in range(20)}
