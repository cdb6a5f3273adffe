"""Loading recorded events: what is no event is told by line, the rest is loaded, again and again to the same end."""

import gzip
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from local import event_lines
from local.load_events import BusyHour, LoadReport, load_events
from tests.integration.clickhouse.events_database import EventsDatabase, at, window
from trace_summarization.errors import ClickHouseQueryFailed, InvalidInput

SAMPLES = Path(__file__).parents[3] / "samples"


def line(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A sound event; a change to `...` leaves the field out."""
    fields = {
        "uuid": str(UUID(int=number)),
        "event": "$ai_generation",
        "distinct_id": "someone",
        "team_id": 1,
        "timestamp": "2025-01-15T14:10:00.123456Z",
        "properties": {"$ai_trace_id": f"trace-{number}"},
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not ...}


def write(path: Path, *lines: str | bytes | dict[str, Any]) -> Path:
    encoded = [json.dumps(entry) if isinstance(entry, dict) else entry for entry in lines]
    path.write_bytes(b"".join((e.encode() if isinstance(e, str) else e) + b"\n" for e in encoded))
    return path


def load(database: EventsDatabase, *paths: Path, **options: Any) -> LoadReport:
    return load_events(database.client, database.events_table, paths, **options)


def test_a_file_is_loaded_and_told_of(database: EventsDatabase, tmp_path: Path) -> None:
    path = write(
        tmp_path / "events.jsonl",
        line(1),
        line(2, timestamp="2025-01-15T15:10:00+01:00", properties={"$ai_trace_id": "trace-1", "x": "é😀\n"}),
        line(3, team_id=7, timestamp="2025-01-15t16:00:00z"),
        line(4, event="$pageview", properties={}, timestamp="2025-01-15T13:00:00Z"),
    )
    assert load(database, path) == LoadReport(
        files=(path,),
        loaded=4,
        rejected_count=0,
        rejected=(),
        without_trace_id=0,
        teams=(1, 7),
        traces=2,
        first=at("13:00"),
        last=at("16:00"),
        busiest_hours=(BusyHour(at("14:00"), 1), BusyHour(at("16:00"), 1)),
    )
    stored = database.rows(
        "SELECT toString(uuid), event, properties, timestamp, team_id, distinct_id FROM {db}.events ORDER BY uuid"
    )
    assert stored[0] == (
        str(UUID(int=1)),
        "$ai_generation",
        '{"$ai_trace_id":"trace-1"}',
        at("14:10:00.123456"),
        1,
        "someone",
    )
    assert stored[1][2:4] == ('{"$ai_trace_id":"trace-1","x":"é😀\\n"}', at("14:10"))
    assert sorted(database.traces.sample(1, window("14:00", "15:00"), 10)) == ["trace-1"]


def test_the_samples_load_and_every_trace_of_them_is_found(database: EventsDatabase) -> None:
    paths = sorted(SAMPLES.glob("*.jsonl.gz"))
    report = load(database, *paths)
    assert paths
    assert report.rejected == ()
    assert database.value("SELECT count() FROM {db}.events") == report.loaded
    assert database.value("SELECT count() FROM {db}.ai_events") == report.loaded
    assert database.value("SELECT uniqExact(team_id, trace_id) FROM {db}.trace_index") == report.traces
    assert report.busiest_hours[0].start == at("14:00")


def test_loading_the_same_file_three_times_changes_nothing_that_is_read(
    database: EventsDatabase, tmp_path: Path
) -> None:
    entries = [line(n, properties={"$ai_trace_id": f"trace-{n % 40}", "n": n}) for n in range(1, 400)]
    path = write(tmp_path / "events.jsonl", *entries)
    span = window("14:00", "15:00")

    def seen() -> list[Any]:
        ids = database.traces.sample(1, span, 25)
        return [(trace_id, database.traces.extent(1, trace_id, span)) for trace_id in ids]

    first_report, first = load(database, path), seen()
    assert len(first) == 25
    for _ in range(2):
        assert load(database, path) == first_report
        assert seen() == first


def test_gzip_is_recognized_by_its_content(database: EventsDatabase, tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.gz", line(1))
    zipped = tmp_path / "zipped.jsonl"
    zipped.write_bytes(
        gzip.compress(json.dumps(line(2)).encode()) + gzip.compress(b"\n" + json.dumps(line(3)).encode())
    )
    assert load(database, plain, zipped).loaded == 3


def test_blank_lines_carriage_returns_and_a_byte_order_mark_are_no_faults(
    database: EventsDatabase, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(line(1)).encode() + b"\r\n\r\n  \n" + json.dumps(line(2)).encode())
    report = load(database, path)
    assert (report.loaded, report.rejected) == (2, ())


def test_an_empty_file_loads_nothing(database: EventsDatabase, tmp_path: Path) -> None:
    report = load(database, write(tmp_path / "events.jsonl"), shift_to=at("12:00"))
    assert (report.loaded, report.teams, report.first, report.last, report.busiest_hours) == (0, (), None, None, ())


DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
REJECTED: list[tuple[str | bytes | dict[str, Any], str]] = [
    ("not JSON", "not JSON: Expecting value, column 1"),
    ('{"uuid":', "not JSON: Expecting value, column 9"),
    (b'{"uuid": "\xff"}', "not UTF-8: byte 11 of the line"),
    ("\x00\x01", "not JSON: Expecting value, column 1"),
    ("[]", "not a JSON object: []"),
    ("null", "not a JSON object: null"),
    (DEEP, "JSON that is nested too deeply"),
    ('{"a":NaN}', "not JSON: NaN is no JSON value"),
    ('{"a":' + "9" * 5_000 + "}", "JSON with an integer of thousands of digits"),
    (
        {},
        "uuid: missing; event: missing; distinct_id: missing; team_id: missing; "
        "timestamp: missing; properties: missing",
    ),
    (line(uuid=...), "uuid: missing"),
    (line(uuid="not-a-uuid"), 'uuid: "not-a-uuid": badly formed hexadecimal UUID string'),
    (line(uuid=5), "uuid: 5: Input should be"),
    (line(event=""), 'event: "": String should have at least 1 character'),
    (line(event=None), "event: null: Input should be a valid string"),
    (line(event="\ud800"), 'event: "\\ud800": holds half a surrogate pair'),
    (line(distinct_id=5), "distinct_id: 5: Input should be a valid string"),
    (line(distinct_id="x\udc00"), 'distinct_id: "x\\udc00": holds half a surrogate pair'),
    (line(team_id=0), "team_id: 0: Input should be greater than or equal to 1"),
    (line(team_id=-1), "team_id: -1: Input should be greater than or equal to 1"),
    (line(team_id=2**53), "team_id: 9007199254740992: Input should be less than or equal to"),
    (line(team_id=True), "team_id: true: Input should be a valid integer"),
    (line(team_id="1"), 'team_id: "1": Input should be a valid integer'),
    (line(team_id=1.0), "team_id: 1.0: Input should be a valid integer"),
    (json.dumps(line()).replace('"team_id": 1', '"team_id": 1e400'), "team_id: Infinity: Input should be"),
    (line(timestamp="2025-01-15T14:10:00"), 'timestamp: "2025-01-15T14:10:00": is not an RFC 3339 time with offset'),
    (line(timestamp="2025-02-30T14:10:00Z"), "is not an RFC 3339 time: day"),
    (line(timestamp="yesterday"), 'timestamp: "yesterday": is not an RFC 3339 time with offset'),
    (line(timestamp=1736950200), "timestamp: 1736950200: is not a string holding an RFC 3339 time"),
    (line(timestamp="1899-12-31T23:59:59Z"), "is outside the years 1900 to 2299"),
    (line(timestamp="2300-01-01T00:00:00Z"), "is outside the years 1900 to 2299"),
    (line(timestamp="0001-01-01T00:00:00+14:00"), "is not an RFC 3339 time: date value out of range"),
    (line(properties="{}"), 'properties: "{}": Input should be a valid dictionary'),
    (line(properties=[]), "properties: []: Input should be a valid dictionary"),
    (line(properties=None), "properties: null: Input should be a valid dictionary"),
    (json.dumps(line()).replace('"trace-1"', "1e400"), "properties: hold a number beyond what a double holds"),
    (line(uuid="y" * 1_000), f'uuid: "{"y" * 59}...: badly formed'),
]


@pytest.mark.parametrize(("entry", "reason"), REJECTED)
def test_a_line_that_is_no_event_is_told_with_its_number(
    tmp_path: Path, entry: str | bytes | dict[str, Any], reason: str
) -> None:
    path = write(tmp_path / "events.jsonl", line(1), entry, line(3))
    first, rejected, last = event_lines.read_events([path], event_lines.Changes())
    assert isinstance(first, event_lines.EventLine)
    assert isinstance(rejected, event_lines.RejectedLine)
    assert isinstance(last, event_lines.EventLine)
    assert (rejected.file, rejected.line) == (path, 2)
    assert reason in rejected.reason
    assert "\n" not in rejected.reason


def test_rejected_lines_do_not_stop_the_others(database: EventsDatabase, tmp_path: Path) -> None:
    entries = [entry for fault, _ in REJECTED for entry in (fault, line())]
    second = write(tmp_path / "b.jsonl", "bad", line(2))
    report = load(database, write(tmp_path / "a.jsonl", *entries), second)
    assert (report.loaded, report.rejected_count) == (len(REJECTED) + 1, len(REJECTED) + 1)
    assert [rejected.line for rejected in report.rejected[:-1]] == list(range(1, 2 * len(REJECTED), 2))
    assert (report.rejected[-1].file, report.rejected[-1].line) == (second, 1)
    assert database.value("SELECT uniqExact(uuid) FROM {db}.events") == 2


def test_only_the_first_thousand_rejected_lines_are_listed(database: EventsDatabase, tmp_path: Path) -> None:
    report = load(database, write(tmp_path / "a.jsonl", *["bad"] * 1_200, line(1)))
    assert (report.loaded, report.rejected_count, len(report.rejected)) == (1, 1_200, 1_000)


def test_a_line_beyond_the_limit_is_rejected_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_lines, "MAX_LINE_BYTES", 2_000)
    path = write(tmp_path / "a.jsonl", line(1), line(2, distinct_id="x" * 5_000), line(3))
    kinds = [
        (type(entry).__name__, getattr(entry, "line", None))
        for entry in event_lines.read_events([path], event_lines.Changes())
    ]
    assert kinds == [("EventLine", None), ("RejectedLine", 2), ("EventLine", None)]


def test_of_a_truncated_gzip_what_is_readable_is_loaded(database: EventsDatabase, tmp_path: Path) -> None:
    entries = [
        json.dumps(line(n, properties={"$ai_trace_id": str(n), "hash": UUID(int=n**9).hex})) for n in range(1, 3_001)
    ]
    path = tmp_path / "events.jsonl.gz"
    zipped = gzip.compress("\n".join(entries).encode())
    path.write_bytes(zipped[: len(zipped) // 2])
    report = load(database, path, write(tmp_path / "next.jsonl", line(9_999)))
    assert 1_000 < report.loaded < 2_000
    assert database.value("SELECT count() FROM {db}.events") == report.loaded
    (rejected,) = report.rejected
    assert rejected.line == report.loaded
    assert "the file is not readable from here on: Compressed file ended" in rejected.reason


def test_a_corrupt_gzip_is_told(database: EventsDatabase, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(line(1)).encode())[:12] + b"\xff" * 50)
    (rejected,) = load(database, path).rejected
    assert (rejected.line, rejected.reason[:38]) == (1, "the file is not readable from here on:")


def test_a_file_that_is_not_there_is_told_before_anything_is_loaded(database: EventsDatabase, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", line(1))
    for missing in (tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(InvalidInput, match=f"file {missing}: .*allowed are readable files of JSON lines"):
            load(database, path, missing)
    assert database.value("SELECT count() FROM {db}.events") == 0


@pytest.mark.parametrize("trace_id", [..., None, "", {"a": 1}, ["a"], True, "\ud800"])
def test_an_ai_event_without_a_trace_id_is_loaded_and_counted(
    database: EventsDatabase, tmp_path: Path, trace_id: object
) -> None:
    properties = {} if trace_id is ... else {"$ai_trace_id": trace_id}
    report = load(database, write(tmp_path / "a.jsonl", line(1, properties=properties), line(2, properties={"x": 1})))
    assert (report.loaded, report.without_trace_id, report.traces) == (2, 2, 0)
    assert database.value("SELECT count() FROM {db}.events") == 2
    assert database.value("SELECT count() FROM {db}.trace_index") == 0


def test_lone_surrogates_and_long_ids_in_properties_are_loaded(database: EventsDatabase, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        line(1, properties={"$ai_trace_id": "t", "text": "half \ud800 a pair"}),
        line(2, properties={"$ai_trace_id": "x" * 129}),
        line(3, properties={"$ai_trace_id": 12345}),
    )
    report = load(database, path)
    assert (report.loaded, report.without_trace_id, report.traces) == (3, 0, 3)
    assert sorted(database.traces.sample(1, window("14:00", "15:00"), 10)) == ["12345", "t", "x" * 129]


def test_shifting_moves_all_files_by_one_offset(database: EventsDatabase, tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", line(1, timestamp="2025-01-15T10:00:00.5Z"), "bad")
    second = write(tmp_path / "b.jsonl", line(2, timestamp="2025-01-15T11:00:00.25Z"), line(3))
    now = datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    report = load(database, first, second, shift_to=now)
    last = datetime(2026, 7, 1, 9, 45, tzinfo=UTC)
    offset = last - at("14:10:00.123456")
    assert report.last == last
    assert report.rejected_count == 1
    assert database.rows("SELECT timestamp FROM {db}.events ORDER BY timestamp") == [
        (at("10:00:00.5") + offset,),
        (at("11:00:00.25") + offset,),
        (last,),
    ]


def test_what_a_shift_moves_out_of_the_calendar_is_rejected(database: EventsDatabase, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", line(1, timestamp="1950-01-01T00:00:00Z"), line(2, timestamp="2299-01-01T00:00:00Z")
    )
    report = load(database, path, shift_to=datetime(2026, 1, 1, tzinfo=UTC))
    assert report.loaded == 1
    assert "would be shifted out of the years 1900 to 2299" in report.rejected[0].reason


def test_another_team_can_be_given_for_all(database: EventsDatabase, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", line(1), line(2, team_id=...), line(3, team_id=0))
    report = load(database, path, team_id=42, shift_to=at("20:00"))
    assert (report.loaded, report.teams, report.last) == (3, (42,), at("19:45"))
    assert database.rows("SELECT DISTINCT team_id FROM {db}.events") == [(42,)]


def test_a_table_that_is_not_there_is_a_typed_error(empty_database: EventsDatabase, tmp_path: Path) -> None:
    with pytest.raises(ClickHouseQueryFailed, match="while loading events"):
        load(empty_database, write(tmp_path / "a.jsonl", line(1)))


def test_dates_over_many_months_load_at_once(database: EventsDatabase, tmp_path: Path) -> None:
    days = (datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=31 * month) for month in range(150))
    path = write(tmp_path / "a.jsonl", *(line(n, timestamp=day.isoformat()) for n, day in enumerate(days, 1)))
    assert load(database, path).loaded == 150
    assert database.value("SELECT count() FROM {db}.events") == 150
