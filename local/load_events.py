"""Puts recorded events (JSON lines, plain or gzip) into ClickHouse. What is no event is told by line.

One JSON object a line: `uuid`, `event`, `distinct_id`, `team_id`, `timestamp` (RFC 3339 with offset), `properties` (an
object); further keys are ignored. Loading a file again changes nothing that is read: events count by their uuid.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

from adapters.clickhouse_errors import typed_errors
from local.event_lines import Changes, EventLine, RejectedLine, read_events
from trace_summarization import constants as c
from trace_summarization.errors import InvalidInput

__all__ = ["BusyHour", "LoadReport", "RejectedLine", "load_events"]

_AGE_OF_LAST_EVENT: Final = timedelta(minutes=15)
_BUSIEST_HOURS: Final = 5
_BATCH_EVENTS: Final = 5_000
_BATCH_BYTES: Final = 32_000_000
_LISTED_REJECTIONS: Final = 1_000

_COLUMNS: Final = {
    "uuid": "UUID",
    "event": "String",
    "properties": "String",
    "timestamp": "DateTime64(6, 'UTC')",
    "team_id": "Int64",
    "distinct_id": "String",
    "created_at": "DateTime64(6, 'UTC')",
}
# The batches are large enough as they are. A file may hold more months than ClickHouse takes partitions in one insert
# by default.
_INSERT_SETTINGS: Final = {"async_insert": 0, "max_partitions_per_insert_block": 0}


@dataclass(frozen=True)
class BusyHour:
    """An hour (UTC) and how many of the loaded traces begin in it, over all teams."""

    start: datetime
    traces: int


@dataclass(frozen=True)
class LoadReport:
    """What was loaded. Times are as stored, that is, shifted."""

    files: tuple[Path, ...]
    loaded: int
    rejected_count: int
    rejected: tuple[RejectedLine, ...]
    """The first 1,000 of them."""
    without_trace_id: int
    """AI events that name no trace: loaded, since as events they are sound, but never sampled."""
    teams: tuple[int, ...]
    traces: int
    first: datetime | None
    last: datetime | None
    busiest_hours: tuple[BusyHour, ...]
    """At most five, the busiest first."""


def load_events(
    client: Client,
    events_table: str,
    paths: Sequence[Path],
    *,
    shift_to: datetime | None = None,
    team_id: int | None = None,
) -> LoadReport:
    """Insert the events of the files.

    Args:
        client: a connection to ClickHouse.
        events_table: `database.table`.
        paths: files of JSON lines; gzip is recognized by its content.
        shift_to: shift all timestamps by one offset, so that the last event of all files is 15 minutes before this.
        team_id: take this team for all events instead of their own.

    Raises:
        InvalidInput: a file cannot be read.
        ClickHouseUnavailable, ClickHouseTimeout, ClickHouseAtCapacity, ClickHouseQueryFailed: what was inserted before
            stays; loading again completes it.
    """
    _check_readable(paths)
    offset = timedelta(0) if shift_to is None else _offset(paths, shift_to, Changes(team_id))
    tally = _Tally()
    accepted = tally.accepted(read_events(paths, Changes(team_id, offset)))
    created_at = datetime.now(UTC)
    for batch in _batches(accepted):
        rows = [(e.uuid, e.event, e.properties, e.timestamp, e.team_id, e.distinct_id, created_at) for e in batch]
        with typed_errors("loading events"):
            client.insert(
                events_table,
                rows,
                column_names=list(_COLUMNS),
                column_type_names=list(_COLUMNS.values()),
                settings=dict(_INSERT_SETTINGS),
            )
    return tally.report(tuple(paths))


@dataclass
class _Tally:
    """What passes on its way into the table."""

    loaded: int = 0
    rejected_count: int = 0
    rejected: list[RejectedLine] = field(default_factory=list)
    without_trace_id: int = 0
    teams: set[int] = field(default_factory=set)
    trace_starts: dict[tuple[int, str], datetime] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None

    def accepted(self, lines: Iterator[EventLine | RejectedLine]) -> Iterator[EventLine]:
        """Pass on the events, and count both."""
        for line in lines:
            if isinstance(line, RejectedLine):
                self.rejected_count += 1
                if len(self.rejected) < _LISTED_REJECTIONS:
                    self.rejected.append(line)
            else:
                self._count(line)
                yield line

    def report(self, paths: tuple[Path, ...]) -> LoadReport:
        """The result."""
        hours = Counter(start.replace(minute=0, second=0, microsecond=0) for start in self.trace_starts.values())
        busiest = sorted(hours.items(), key=lambda item: (-item[1], item[0]))[:_BUSIEST_HOURS]
        return LoadReport(
            files=paths,
            loaded=self.loaded,
            rejected_count=self.rejected_count,
            rejected=tuple(self.rejected),
            without_trace_id=self.without_trace_id,
            teams=tuple(sorted(self.teams)),
            traces=len(self.trace_starts),
            first=self.first,
            last=self.last,
            busiest_hours=tuple(itertools.starmap(BusyHour, busiest)),
        )

    def _count(self, event: EventLine) -> None:
        self.loaded += 1
        self.teams.add(event.team_id)
        self.first = min(self.first or event.timestamp, event.timestamp)
        self.last = max(self.last or event.timestamp, event.timestamp)
        if event.event not in c.AI_EVENT_NAMES:
            return
        if event.trace_id is None:
            self.without_trace_id += 1
            return
        key = (event.team_id, event.trace_id)
        self.trace_starts[key] = min(self.trace_starts.get(key, event.timestamp), event.timestamp)


def _check_readable(paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise InvalidInput(f"file {path}: {error.strerror}; allowed are readable files of JSON lines") from error


def _offset(paths: Sequence[Path], now: datetime, changes: Changes) -> timedelta:
    times = (line.timestamp for line in read_events(paths, changes) if isinstance(line, EventLine))
    last = max(times, default=None)
    return timedelta(0) if last is None else now.astimezone(UTC) - _AGE_OF_LAST_EVENT - last


def _batches(events: Iterator[EventLine]) -> Iterator[list[EventLine]]:
    batch: list[EventLine] = []
    size = 0
    for event in events:
        batch.append(event)
        size += len(event.properties)
        if len(batch) >= _BATCH_EVENTS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
