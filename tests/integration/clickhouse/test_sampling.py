"""Which traces a window holds: each trace in exactly one, the same ones every time, uniformly."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from adapters.clickhouse import ClickHouseConnection, ClickHouseTraceStore, connect
from tests.integration.clickhouse.events_database import EventsDatabase, at, window
from trace_summarization import constants as c
from trace_summarization.models import Window
from trace_summarization.windows import resolve_window


def sampled(database: EventsDatabase, span: Window, team_id: int = 1, limit: int = 1_000) -> list[str]:
    return sorted(database.traces.sample(team_id, span, limit))


def test_an_empty_table_gives_an_empty_sample(database: EventsDatabase) -> None:
    assert sampled(database, window("14:00", "15:00")) == []


@pytest.mark.parametrize(
    ("clock", "inside"),
    [
        ("13:59:59.999999", False),
        ("14:00:00", True),
        ("14:59:59.999999", True),
        ("15:00:00", False),
    ],
)
def test_a_window_holds_its_start_and_not_its_end(database: EventsDatabase, clock: str, inside: bool) -> None:
    database.insert(database.event("trace", at(clock)))
    assert sampled(database, window("14:00", "15:00")) == (["trace"] if inside else [])


@pytest.mark.parametrize(
    ("clock", "inside"),
    [("14:19:59.999999", False), ("14:20:00", True), ("15:09:59.999999", True), ("15:10:00", False)],
)
def test_a_window_need_not_begin_on_the_hour(database: EventsDatabase, clock: str, inside: bool) -> None:
    database.insert(database.event("trace", at(clock)))
    assert sampled(database, window("14:20", "15:10")) == (["trace"] if inside else [])


def test_a_trace_over_several_windows_is_in_the_one_that_holds_its_first_event(database: EventsDatabase) -> None:
    database.insert(*(database.event("long", at(clock)) for clock in ("13:50", "14:10", "15:20", "18:00")))
    windows = [window(f"{hour}:00", f"{hour + 1}:00") for hour in range(12, 19)]
    assert [sampled(database, span) for span in windows] == [[], ["long"], [], [], [], [], []]


def test_the_same_holds_for_windows_within_one_hour(database: EventsDatabase) -> None:
    database.insert(*(database.event("long", at(clock)) for clock in ("14:05", "14:20", "14:40")))
    windows = [window("14:00", "14:15"), window("14:15", "14:30"), window("14:30", "14:45")]
    assert [sampled(database, span) for span in windows] == [["long"], [], []]


def test_consecutive_windows_neither_miss_nor_repeat_a_trace(database: EventsDatabase) -> None:
    begin = at("00:00")
    database.insert(
        *(
            database.event(f"trace-{number}", begin + timedelta(seconds=431 * number + 97 * step))
            for number in range(200)
            for step in range(0, 40, 5)
        )
    )
    found: list[str] = []
    for number in range(24 * 4):
        start = begin + timedelta(minutes=15 * number)
        found += database.traces.sample(1, Window(start, start + timedelta(minutes=15)), 1_000)
    assert sorted(found) == sorted(f"trace-{number}" for number in range(200))


def test_an_event_24_hours_before_the_window_is_looked_back_to_and_an_earlier_one_is_not(
    database: EventsDatabase,
) -> None:
    database.insert(
        database.event("seen", at("14:20", day=14)),
        database.event("forgotten", at("14:19:59.999999", day=14)),
        database.event("seen", at("14:30")),
        database.event("forgotten", at("14:30")),
    )
    assert sampled(database, window("14:20", "15:20")) == ["forgotten"]


def test_an_event_that_arrives_late_before_the_run_moves_its_trace(database: EventsDatabase) -> None:
    database.insert(database.event("trace", at("14:10")))
    database.insert(database.event("trace", at("13:55")))
    assert sampled(database, window("13:00", "14:00")) == ["trace"]
    assert sampled(database, window("14:00", "15:00")) == []


def test_an_event_that_arrives_between_two_runs_leaves_the_trace_to_a_backfill(database: EventsDatabase) -> None:
    earlier, later = window("13:00", "14:00"), window("14:00", "15:00")
    database.insert(database.event("trace", at("14:10")))
    assert sampled(database, earlier) == []
    database.insert(database.event("trace", at("13:55")))
    assert sampled(database, later) == []
    assert sampled(database, earlier) == ["trace"]


def test_an_event_that_arrives_after_both_runs_adds_nothing_to_later_windows(database: EventsDatabase) -> None:
    database.insert(database.event("trace", at("14:10")))
    assert sampled(database, window("14:00", "15:00")) == ["trace"]
    database.insert(database.event("trace", at("14:20")), database.event("trace", at("15:05")))
    assert sampled(database, window("14:00", "15:00")) == ["trace"]
    assert sampled(database, window("15:00", "16:00")) == []


def test_the_same_window_gives_the_same_sample(database: EventsDatabase) -> None:
    database.insert(*(database.event(f"trace-{number}", at("14:30")) for number in range(300)))
    first = database.traces.sample(1, window("14:00", "15:00"), 20)
    assert len(first) == 20
    assert database.traces.sample(1, window("14:00", "15:00"), 20) == first
    database.client.command(f"OPTIMIZE TABLE {database.name}.trace_index FINAL")
    assert database.traces.sample(1, window("14:00", "15:00"), 20) == first


def test_the_sample_is_the_first_traces_by_hash_of_team_and_id(database: EventsDatabase) -> None:
    database.insert(*(database.event(f"trace-{number}", at("14:30")) for number in range(300)))
    by_hash = [
        trace_id
        for (trace_id,) in database.rows(
            "SELECT concat('trace-', toString(number)) AS id FROM numbers(300) ORDER BY cityHash64(toInt64(1), id), id"
        )
    ]
    assert database.traces.sample(1, window("14:00", "15:00"), 300) == by_hash
    assert database.traces.sample(1, window("14:00", "15:00"), 7) == by_hash[:7]


def test_every_trace_has_the_same_chance(database: EventsDatabase) -> None:
    """Ids counted up, over 40 windows of 50 traces: how often each of five groups of ids is sampled, by chi-square."""
    begin = at("00:00")
    database.insert(
        *(
            database.event(f"{span:02}-{number:02}", begin + timedelta(minutes=10 * span, seconds=number))
            for span in range(40)
            for number in range(50)
        )
    )
    groups = [0] * 5
    for span in range(40):
        start = begin + timedelta(minutes=10 * span)
        for trace_id in database.traces.sample(1, Window(start, start + timedelta(minutes=10)), 10):
            groups[int(trace_id[3:]) // 10] += 1
    expected = 40 * 10 / 5
    chi_square = sum((count - expected) ** 2 / expected for count in groups)
    assert sum(groups) == 400
    assert chi_square < 18.47, groups  # 4 degrees of freedom: exceeded by chance once in 1,000


def test_traces_that_began_earlier_do_not_use_up_the_limit(database: EventsDatabase) -> None:
    """More of them than the batch that is looked at first: the sample goes on behind them."""
    ids = [f"trace-{number}" for number in range(200)]
    hashes = database.rows(
        "SELECT arrayJoin({ids:Array(String)}) AS id ORDER BY cityHash64(toInt64(1), id), id", ids=ids
    )
    by_hash = [trace_id for (trace_id,) in hashes]
    database.insert(*(database.event(trace_id, at("14:30")) for trace_id in ids))
    database.insert(*(database.event(trace_id, at("13:59")) for trace_id in by_hash[:60]))
    assert database.traces.sample(1, window("14:00", "15:00"), 10) == by_hash[60:70]
    assert database.traces.sample(1, window("14:00", "15:00"), 1_000) == by_hash[60:]


def test_another_teams_traces_are_never_seen(database: EventsDatabase) -> None:
    database.insert(
        database.event("shared-id", at("14:10"), team_id=1),
        database.event("shared-id", at("13:10"), team_id=2),
        database.event("other", at("14:10"), team_id=2),
    )
    assert sampled(database, window("14:00", "15:00"), team_id=1) == ["shared-id"]
    assert sampled(database, window("14:00", "15:00"), team_id=2) == ["other"]
    assert sampled(database, window("14:00", "15:00"), team_id=3) == []


def test_summaries_and_other_events_are_no_activity(database: EventsDatabase) -> None:
    database.insert(
        database.event("a", at("14:10"), event=c.EVENT_NAME_TRACE_SUMMARY),
        database.event("b", at("14:10"), event="$pageview"),
        database.event("c", at("14:10"), event="$ai_trace_clusters"),
        database.event("d", at("13:10"), event=c.EVENT_NAME_TRACE_SUMMARY),
        database.event("d", at("14:10")),
    )
    assert sampled(database, window("14:00", "15:00")) == ["d"]


@pytest.mark.parametrize("name", c.AI_EVENT_NAMES)
def test_every_ai_event_is_activity(database: EventsDatabase, name: str) -> None:
    database.insert(database.event("trace", at("14:10"), event=name))
    assert sampled(database, window("14:00", "15:00")) == ["trace"]


@pytest.mark.parametrize(
    "trace_id",
    [
        "it's \"quoted\" `so` \\ and \\' so",
        "line\nbreak\r\ttab",
        "🚀 → 火",
        "nul\x00inside",
        "{team_id:Int64}; DROP TABLE events --",
        " spaces ",
        "%s %(a)s {0} ?",
        "x" * c.MAX_TRACE_ID_LENGTH,
    ],
)
def test_any_text_is_a_trace_id(database: EventsDatabase, trace_id: str) -> None:
    database.insert(database.event(trace_id, at("14:10")))
    span = window("14:00", "15:00")
    assert sampled(database, span) == [trace_id]
    extent = database.traces.extent(1, trace_id, span)
    assert extent is not None
    assert [event.properties for event in database.traces.events(1, trace_id, extent)] == [{"$ai_trace_id": trace_id}]


def test_long_ids_are_counted_in_cut_form_and_not_kept_as_traces(database: EventsDatabase) -> None:
    beginning = "ü" * c.MAX_TRACE_ID_LENGTH
    database.insert(
        database.event(beginning + "1", at("14:10")),
        database.event(beginning + "12", at("14:11")),
        database.event(beginning + "1", at("14:12")),
    )
    assert sampled(database, window("14:00", "15:00")) == [beginning + "1", beginning + "1"]
    assert database.value("SELECT count() FROM {db}.ai_events") == 0


def test_an_id_of_a_megabyte_is_counted(database: EventsDatabase) -> None:
    database.insert(database.event("y" * 1_000_000, at("14:10")))
    assert sampled(database, window("14:00", "15:00")) == ["y" * (c.MAX_TRACE_ID_LENGTH + 1)]


def test_loading_the_same_events_again_changes_no_sample(database: EventsDatabase) -> None:
    rows = [database.event(f"trace-{number}", at("14:00") + timedelta(minutes=number)) for number in range(90)]
    database.insert(*rows)
    first = database.traces.sample(1, window("14:00", "15:00"), 20)
    counts = "SELECT team_id, trace_id, min(first_event), max(last_event), uniqMerge(event_ids) FROM {db}.trace_index"
    grouped = f"{counts} GROUP BY team_id, trace_id ORDER BY trace_id"
    before = database.rows(grouped)
    for _ in range(2):
        database.insert(*rows)
    assert database.traces.sample(1, window("14:00", "15:00"), 20) == first
    assert database.rows(grouped) == before
    database.client.command(f"OPTIMIZE TABLE {database.name}.trace_index FINAL")
    assert database.rows(grouped) == before


def test_one_uuid_with_two_timestamps_counts_at_the_earlier(database: EventsDatabase) -> None:
    uuid = UUID(int=77)
    database.insert(database.event("trace", at("14:10"), uuid=uuid))
    database.insert(database.event("trace", at("13:10"), uuid=uuid))
    assert sampled(database, window("13:00", "14:00")) == ["trace"]
    assert sampled(database, window("14:00", "15:00")) == []


def test_the_earliest_window_allowed_can_be_sampled(database: EventsDatabase) -> None:
    inputs = Inputs(datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 2, 1, tzinfo=UTC))
    span = resolve_window(inputs, datetime(2025, 1, 1, tzinfo=UTC))
    database.insert(database.event("old", datetime(1970, 1, 2, 0, 30, tzinfo=UTC)))
    assert sampled(database, span) == ["old"]


def test_a_window_of_a_day_reads_a_day(database: EventsDatabase) -> None:
    database.insert(*(database.event(f"{hour:02}", at(f"{hour:02}:30")) for hour in range(24)))
    assert sampled(database, Window(at("00:00"), at("00:00", day=16))) == [f"{hour:02}" for hour in range(24)]


def test_other_teams_and_other_hours_cost_nothing(database: EventsDatabase, clickhouse_url: str) -> None:
    """100 traces of the hour, then 40,000 elsewhere: at most a few more granules of 256 rows."""
    database.insert(*(database.event(f"trace-{number}", at("14:30")) for number in range(100)))
    database.client.command(
        f"INSERT INTO {database.events_table} SELECT generateUUIDv4(), '$ai_span', "
        "concat('{\"$ai_trace_id\":\"', toString(number), '\"}'), "
        "toDateTime64('2025-01-14 15:00:00', 6, 'UTC') + number * 2, if(number % 4 = 0, 1, 2), '', now64(6) "
        "FROM numbers(40000)"
    )
    with connect(clickhouse_url) as client:
        client.set_client_setting("use_query_condition_cache", 0)
        store = ClickHouseTraceStore(ClickHouseConnection(lambda: client), database.name)
        read = database.selected_rows(lambda: store.sample(1, window("14:00", "15:00"), 100))
    assert read < 4_000


class Inputs:
    """A window given by hand."""

    window_minutes = 60
    window_lag_minutes = 0
    scheduled_time = None

    def __init__(self, start: datetime, end: datetime) -> None:
        self.window_start = start
        self.window_end = end
