"""What is read of one trace: its extent without its content, its events once each, whatever their properties hold."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.integration.clickhouse.events_database import EventsDatabase, at, window
from trace_summarization.models import TraceEvent, TraceExtent

HOUR = window("14:00", "15:00")


def fetched(database: EventsDatabase, trace_id: str, team_id: int = 1) -> list[TraceEvent]:
    extent = database.traces.extent(team_id, trace_id, HOUR)
    assert extent is not None
    events = list(database.traces.events(team_id, trace_id, extent))
    assert len(events) == extent.event_count
    return events


def properties_of(database: EventsDatabase, stored: str | bytes) -> Any:
    """The properties as they come back, through an insert into `events`, the view and the adapter."""
    database.insert(database.raw_event(stored, at("14:10")))
    (event,) = fetched(database, "t")
    json.dumps(event.properties, ensure_ascii=False, allow_nan=False).encode()
    return event.properties


def test_a_trace_that_is_not_there_has_no_extent(database: EventsDatabase) -> None:
    database.insert(database.event("t", at("14:10"), team_id=2))
    assert database.traces.extent(1, "t", HOUR) is None


def test_the_extent_ends_24_hours_after_the_trace_began(database: EventsDatabase) -> None:
    inside = [at("14:30"), at("14:31"), at("14:29:59.999999", day=16)]
    outside = [at("13:59:59.999999", day=14), at("14:30", day=16), at("14:45", day=16)]
    rows = [database.event("t", moment) for moment in inside + outside]
    database.insert(*rows)
    size = sum(len(row[2]) for row in rows[:3])
    assert database.traces.extent(1, "t", HOUR) == TraceExtent(inside[0], inside[2], 3, size)


def test_the_extent_is_the_same_whatever_window_asks(database: EventsDatabase) -> None:
    database.insert(*(database.event("t", at("14:30") + timedelta(hours=hours)) for hours in range(0, 36, 4)))
    extent = database.traces.extent(1, "t", HOUR)
    assert extent is not None
    assert extent.event_count == 6
    assert database.traces.extent(1, "t", window("00:00", "23:00")) == extent


def test_an_event_of_the_day_before_the_window_is_part_of_the_trace(database: EventsDatabase) -> None:
    database.insert(database.event("t", at("14:00", day=14)), database.event("t", at("13:59", day=15)))
    extent = database.traces.extent(1, "t", HOUR)
    assert extent is not None
    assert (extent.first_event, extent.event_count) == (at("14:00", day=14), 2)


def test_events_come_by_time_then_uuid_with_their_fractions(database: EventsDatabase) -> None:
    uuids = [UUID(f"{first}0000000-0000-0000-{second}000-000000000000") for first in "ab" for second in "9a8"]
    for uuid in reversed(uuids):
        database.insert(database.event("t", at("14:30:00.123456"), uuid=uuid))
    database.insert(database.event("t", at("14:30:00.123455"), uuid=UUID(int=2**128 - 1), event="$ai_span"))
    events = fetched(database, "t")
    assert [event.uuid for event in events[1:]] == sorted(map(str, uuids))
    assert events[0].event == "$ai_span"
    assert [event.timestamp for event in events[:2]] == [at("14:30:00.123455"), at("14:30:00.123456")]
    assert events[0].timestamp.tzinfo is UTC


def test_only_the_teams_own_events_of_the_trace_are_read(database: EventsDatabase) -> None:
    database.insert(
        database.event("t", at("14:10"), mine=True),
        database.event("t", at("14:10"), team_id=2),
        database.event("t2", at("14:10")),
        database.event("t", at("14:11"), event="$pageview"),
        database.event("t", at("14:12"), event="$ai_trace_summary"),
    )
    assert [event.properties for event in fetched(database, "t")] == [{"$ai_trace_id": "t", "mine": True}]


def test_loading_the_same_events_three_times_changes_nothing(database: EventsDatabase) -> None:
    rows = [database.event("t", at("14:00") + timedelta(seconds=number), number=number) for number in range(50)]
    database.insert(*rows)
    extent, events = database.traces.extent(1, "t", HOUR), fetched(database, "t")
    for _ in range(2):
        database.insert(*rows)
    assert database.traces.extent(1, "t", HOUR) == extent
    assert fetched(database, "t") == events
    database.client.command(f"OPTIMIZE TABLE {database.name}.ai_events FINAL")
    assert database.value("SELECT count() FROM {db}.ai_events") == 50
    assert database.traces.extent(1, "t", HOUR) == extent
    assert fetched(database, "t") == events


def test_one_uuid_with_several_timestamps_counts_once_at_the_earliest(database: EventsDatabase) -> None:
    uuid = UUID(int=5)
    for clock, text in (("14:20", "late"), ("14:10", "early"), ("14:30", "latest")):
        database.insert(database.event("t", at(clock), uuid=uuid, text=text))
    (event,) = fetched(database, "t")
    assert (event.timestamp, event.properties["text"]) == (at("14:10"), "early")
    extent = database.traces.extent(1, "t", HOUR)
    assert extent == TraceExtent(at("14:10"), at("14:10"), 1, len(json.dumps(dict(event.properties))))


def test_a_corrected_event_replaces_the_earlier_one_before_and_after_the_merge(database: EventsDatabase) -> None:
    for text in ("wrong, and longer than what follows", "right"):
        database.insert(database.event("t", at("14:10"), uuid=UUID(int=6), text=text))
    before = fetched(database, "t"), database.traces.extent(1, "t", HOUR)
    database.client.command(f"OPTIMIZE TABLE {database.name}.ai_events FINAL")
    assert (fetched(database, "t"), database.traces.extent(1, "t", HOUR)) == before
    assert before[0][0].properties["text"] == "right"


def test_a_trace_of_10_000_events_is_measured_without_reading_its_content(database: EventsDatabase) -> None:
    database.client.command(
        f"INSERT INTO {database.events_table} SELECT generateUUIDv4(number), '$ai_span', "
        'concat(\'{"$ai_trace_id":"t","x":"\', repeat(\'y\', 980), \'"}\'), '
        "addMilliseconds(toDateTime64('2025-01-15 14:00:00', 6, 'UTC'), number * 100), 1, '', now64(6) "
        "FROM numbers(10000)"
    )
    read_bytes = "SELECT sum(value) FROM system.events WHERE event = 'SelectedBytes'"
    before = database.value(read_bytes)
    extent = database.traces.extent(1, "t", HOUR)
    assert database.value(read_bytes) - before < 2_000_000
    size = len('{"$ai_trace_id":"t","x":""}') + 980
    assert extent == TraceExtent(at("14:00"), at("14:16:39.9"), 10_000, 10_000 * size)


UNTOUCHED = [
    {"$ai_trace_id": "t"},
    {"$ai_trace_id": "t", "nested": {"a": [1, 2.5, None, True, {"b": ""}]}},
    {"$ai_trace_id": "t", "text": 'quote " backslash \\ newline \n nul \x00 emoji 😀 \u2028'},
    {"$ai_trace_id": "t", "big": 2**200, "small": -(2**63), "fraction": 0.1},
]


@pytest.mark.parametrize("properties", UNTOUCHED)
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_properties_come_back_as_they_were(
    database: EventsDatabase, properties: dict[str, Any], ensure_ascii: bool
) -> None:
    assert properties_of(database, json.dumps(properties, ensure_ascii=ensure_ascii)) == properties


def test_nan_and_infinity_become_their_names(database: EventsDatabase) -> None:
    assert properties_of(database, '{"a":NaN,"b":[-Infinity],"$ai_trace_id":"t"}') == {
        "a": "NaN",
        "b": ["-Infinity"],
        "$ai_trace_id": "t",
    }


def test_a_lone_surrogate_is_replaced_and_a_pair_is_kept(database: EventsDatabase) -> None:
    properties = properties_of(database, '{"a":"x\\ud800y","b":"\\ud83d\\ude00","$ai_trace_id":"t"}')
    assert properties == {"a": "x?y", "b": "😀", "$ai_trace_id": "t"}


def test_bytes_that_are_no_utf8_are_replaced(database: EventsDatabase) -> None:
    assert properties_of(database, b'{"a":"x\xff\xfey","$ai_trace_id":"t"}')["a"] == "x��y"


@pytest.mark.parametrize(
    "stored",
    [
        '{"$ai_trace_id":"t","cut off":',
        '{"$ai_trace_id":"t"} and more',
        '{"a":"raw\nnewline","$ai_trace_id":"t"}',
        '{"$ai_trace_id":"t","n":' + "9" * 5_000 + "}",
        '{"$ai_trace_id":"t","deep":' + "[" * 100_000 + "]" * 100_000 + "}",
        'not JSON at all but "$ai_trace_id": "t"',
    ],
)
def test_what_is_no_json_object_is_kept_as_text(database: EventsDatabase, stored: str) -> None:
    assert properties_of(database, stored) == {"$raw": stored}


def test_a_number_beyond_doubles_does_not_stop_a_trace(database: EventsDatabase) -> None:
    database.insert(database.raw_event('{"$ai_trace_id":"t","n":1e400}', at("14:10")))
    assert fetched(database, "t")[0].properties["n"] == float("inf")


def test_dates_at_the_ends_of_the_calendar_are_no_obstacle(database: EventsDatabase) -> None:
    database.insert(
        database.event("t", at("14:10")),
        database.event("t", datetime(1900, 1, 1, tzinfo=UTC)),
        database.event("t", datetime(2299, 12, 31, 23, tzinfo=UTC)),
    )
    assert [event.timestamp for event in fetched(database, "t")] == [at("14:10")]
