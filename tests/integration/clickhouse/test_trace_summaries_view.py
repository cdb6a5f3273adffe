"""`trace_summaries`: the documented way to read summaries."""

import json
from typing import Any
from uuid import UUID

import pytest

from tests.integration.clickhouse.events_database import EventsDatabase, at
from trace_summarization import constants as c
from trace_summarization.events import SummaryIdentity, summary_event
from trace_summarization.models import ModelUsage, SummaryItem, TeamRun, TraceExtent, TraceSummary

RUN = TeamRun(
    team_id=1,
    batch_run_id="team_1_2025-01-15T15:00:00Z",
    window_start=at("14:00"),
    window_end=at("15:00"),
    mode="detailed",
    model="gpt-4.1-mini",
    batch_size=5,
    execution_id="execution-1",
    started_at=at("15:10"),
    deadline=at("17:00"),
    spending_key="execution-1",
    price=None,
    max_cost_usd=None,
    max_input_tokens=60_000,
    redaction=True,
    dry_run=False,
    traces_queried=1,
)
SUMMARY = TraceSummary(
    title="A title 😀",
    flow_diagram="graph TD\n  A --> B",
    bullets=(SummaryItem('one "quoted"', "L1", verified=True), SummaryItem("two", "L2-5, L7", verified=True)),
    interesting_notes=(SummaryItem("note", "", verified=False),),
    line_refs_valid=3,
    line_refs_total=4,
)


def save(database: EventsDatabase, trace_id: str = "t", model: str = "gpt-4.1-mini-2025-04-14", **run: Any) -> None:
    event = summary_event(
        RUN.model_copy(update=run),
        trace_id,
        SUMMARY,
        "find order 17",
        ModelUsage(model, 1_234, None, cost_usd=0.0125),
        SummaryIdentity("the text", RUN.mode, RUN.model, "openai"),
        TraceExtent(at("14:03:00.123456"), at("14:09"), 12, 3_456),
        at("14:03:00.123456"),
        at("15:11:00.5"),
    )
    database.summaries.save(event)


def test_every_property_is_a_typed_column(database: EventsDatabase) -> None:
    save(database)
    result = database.client.query(f"SELECT * EXCEPT (created_at, properties) FROM {database.name}.trace_summaries")
    (row,) = result.named_results()
    identity = SummaryIdentity("the text", RUN.mode, RUN.model, "openai")
    assert row == {
        "team_id": 1,
        "trace_id": "t",
        "mode": "detailed",
        "timestamp": at("14:03:00.123456"),
        "summary_id": row["summary_id"],
        "title": "A title 😀",
        "flow_diagram": "graph TD\n  A --> B",
        "bullets": [
            {"text": 'one "quoted"', "line_refs": "L1", "verified": True},
            {"text": "two", "line_refs": "L2-5, L7", "verified": True},
        ],
        "interesting_notes": [{"text": "note", "line_refs": "", "verified": False}],
        "keywords": "find order 17",
        "line_refs_valid": 3,
        "line_refs_total": 4,
        "text_repr_length": 8,
        "event_count": 12,
        "trace_timestamp": at("14:03:00.123456"),
        "batch_run_id": RUN.batch_run_id,
        "window_start": at("14:00"),
        "window_end": at("15:00"),
        "execution_id": "execution-1",
        "model": "gpt-4.1-mini-2025-04-14",
        "requested_model": "gpt-4.1-mini",
        "provider": "openai",
        "prompt_version": c.PROMPT_VERSION,
        "content_hash": identity.content_hash,
        "fingerprint": identity.fingerprint,
        "input_tokens": 1_234,
        "cached_input_tokens": None,
        "output_tokens": None,
        "model_calls": 1,
        "cost_usd": 0.0125,
        "summarized_at": at("15:11:00.5"),
    }


def test_no_property_of_the_event_is_left_out_of_the_view(database: EventsDatabase) -> None:
    save(database)
    text = database.value("SELECT properties FROM {db}.events")
    definition = database.value("SHOW CREATE TABLE {db}.trace_summaries")
    assert [name for name in json.loads(text) if f"'{name}'" not in definition] == []


def test_there_is_one_row_per_team_trace_and_mode_the_newest(database: EventsDatabase) -> None:
    for execution in ("first", "second"):
        save(database, execution_id=execution)
    save(database, mode="minimal")
    save(database, trace_id="other")
    save(database, team_id=2)
    rows = database.rows(
        "SELECT team_id, trace_id, mode, execution_id FROM {db}.trace_summaries ORDER BY team_id, trace_id, mode"
    )
    assert rows == [
        (1, "other", "detailed", "execution-1"),
        (1, "t", "detailed", "second"),
        (1, "t", "minimal", "execution-1"),
        (2, "t", "detailed", "execution-1"),
    ]


ITEMS = [
    {"text": "one", "line_refs": "L1", "verified": True},
    {"text": "two", "line_refs": "", "verified": False},
]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (json.dumps(ITEMS), ITEMS),
        (ITEMS, ITEMS),
        ("[]", []),
        ([], []),
        ("not JSON", []),
        ("", []),
        (None, []),
        (5, []),
        ({"text": "no array"}, []),
        ([{"text": "no reference"}], [{"text": "no reference", "line_refs": "", "verified": False}]),
        (
            [{"text": "of before references were checked", "line_refs": "L1"}],
            [{"text": "of before references were checked", "line_refs": "L1", "verified": False}],
        ),
    ],
)
def test_bullets_and_notes_may_be_a_json_string_or_an_array(
    database: EventsDatabase, stored: object, expected: object
) -> None:
    properties = {"$ai_summary_bullets": stored, "$ai_summary_interesting_notes": stored}
    database.insert(database.raw_event(json.dumps(properties), at("14:10"), event=c.EVENT_NAME_TRACE_SUMMARY))
    assert database.rows("SELECT bullets, interesting_notes FROM {db}.trace_summaries") == [(expected, expected)]


@pytest.mark.parametrize(
    "properties",
    [
        "",
        "not JSON",
        "[]",
        b"\xff",
        '{"$ai_window_start":"yesterday","trace_timestamp":17,"$ai_event_count":-1,"$ai_summary_input_tokens":"many"}',
        '{"$ai_summary_title":{"a":1},"$ai_summary_bullets":[[["x"]],1,"y"]}',
        '{"$ai_window_start":"9999-99-99T99:99:99Z","$ai_window_end":"0001-01-01T00:00:00Z"}',
    ],
)
def test_a_foreign_row_does_not_stop_reading(database: EventsDatabase, properties: str | bytes) -> None:
    database.insert(database.raw_event(properties, at("14:10"), event=c.EVENT_NAME_TRACE_SUMMARY))
    save(database)
    assert len(database.rows("SELECT * EXCEPT properties FROM {db}.trace_summaries")) == 2


def test_filters_on_team_and_time_reach_the_sort_key(database: EventsDatabase) -> None:
    database.client.command(
        f"INSERT INTO {database.events_table} SELECT generateUUIDv4(), "
        "if(number % 2 = 0, 'other', '$ai_trace_summary'), '{}', "
        "toDateTime64('2025-01-01 00:00:00', 6, 'UTC') + number * 10, number % 20, '', now64(6) "
        "FROM numbers(250000)"
    )
    database.client.command(f"OPTIMIZE TABLE {database.events_table} FINAL")
    plan = "\n".join(
        line
        for (line,) in database.rows(
            "EXPLAIN indexes = 1 SELECT title FROM {db}.trace_summaries "
            "WHERE team_id = 7 AND timestamp >= '2025-01-15 14:00:00' AND timestamp < '2025-01-15 15:00:00'"
        )
    )
    primary_key = plan[plan.index("PrimaryKey") :]
    assert all(name in primary_key.partition("Condition")[0] for name in ("team_id", "toDate(timestamp)", "event"))
    granules = primary_key.split("Granules: ")[1].split("\n")[0]
    selected, total = map(int, granules.split("/"))
    assert total >= 25
    assert selected <= 2


def test_two_summaries_written_at_the_same_moment_are_one_row(database: EventsDatabase) -> None:
    for number in (1, 2):
        properties = json.dumps({"$ai_trace_id": "t", "$ai_summary_mode": "detailed", "number": number})
        database.insert(database.raw_event(properties, at("14:10"), event=c.EVENT_NAME_TRACE_SUMMARY, uuid=UUID(int=9)))
    assert database.value("SELECT count() FROM {db}.trace_summaries") == 1
