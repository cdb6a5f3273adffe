"""Reads traces: a window's sample, a trace's extent, its events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from adapters.clickhouse_client import ClickHouseConnection, clickhouse_time, connection_of_secret
from adapters.clickhouse_properties import parse_properties
from adapters.settings import ClickHouseSettings
from trace_summarization import constants as c
from trace_summarization.models import TraceEvent, TraceExtent, Window

_LOOK_BACK: Final = timedelta(hours=c.MAX_TRACE_DURATION_HOURS)

# The traces whose first event within the window's hours is in the window, the next ones by hash, each with whether an
# event of it is known from the 24 hours before those hours. Only the hashes at hand are looked for there, so that the
# index's filter skips nearly all of the team's other traces.
_SAMPLE_SQL: Final = """
WITH candidates AS (
    SELECT trace_hash, trace_id
    FROM {database}.trace_index
    WHERE team_id = {{team_id:Int64}}
        AND hour >= {{first_hour:DateTime('UTC')}} AND hour < {{end:DateTime('UTC')}}
        AND trace_hash >= {{after_hash:UInt64}}
    GROUP BY trace_hash, trace_id
    HAVING min(first_event) >= {{start:DateTime('UTC')}} AND min(first_event) < {{end:DateTime('UTC')}}
        AND (trace_hash, trace_id) > ({{after_hash:UInt64}}, {{after_id:String}})
    ORDER BY trace_hash, trace_id
    LIMIT {{batch:UInt32}}
)
SELECT trace_hash, trace_id, (trace_hash, trace_id) IN (
    SELECT trace_hash, trace_id
    FROM {database}.trace_index
    WHERE team_id = {{team_id:Int64}}
        AND hour >= {{look_back_hour:DateTime('UTC')}} AND hour < {{first_hour:DateTime('UTC')}}
        AND trace_hash IN (SELECT trace_hash FROM candidates)
        AND last_event >= {{look_back:DateTime('UTC')}}
) AS began_earlier
FROM candidates
ORDER BY trace_hash, trace_id
"""

# A trace ends 24 hours after its own first event, whatever the window: its text must not depend on who asks.
_EXTENT_SQL: Final = """
SELECT first, arrayMax(event -> event.1, known), length(known), arraySum(event -> event.2, known)
FROM (
    SELECT
        min(event_time) AS first,
        arrayFilter(event -> event.1 < addHours(first, {{hours:UInt8}}), groupArray((event_time, event_bytes))) AS known
    FROM (
        SELECT
            min(timestamp) AS event_time,
            argMin(properties_bytes, (timestamp, -toUnixTimestamp64Micro(inserted_at))) AS event_bytes
        FROM {database}.ai_events
        WHERE team_id = {{team_id:Int64}} AND trace_id = {{trace_id:String}}
            AND timestamp >= {{start:DateTime('UTC')}} AND timestamp < {{end:DateTime('UTC')}}
        GROUP BY uuid
    )
)
"""

# An event that was sent with several timestamps counts at the earliest; of equal ones the last inserted.
_EVENTS_SQL: Final = """
SELECT toString(uuid), event, timestamp, properties
FROM {database}.ai_events
WHERE team_id = {{team_id:Int64}} AND trace_id = {{trace_id:String}}
    AND timestamp >= {{first:DateTime64(6, 'UTC')}} AND timestamp <= {{last:DateTime64(6, 'UTC')}}
ORDER BY timestamp, toString(uuid), inserted_at DESC
LIMIT 1 BY uuid
"""


@dataclass(frozen=True)
class ClickHouseTraceStore:
    """`TraceStore` on the tables that the schema keeps beside `events`."""

    connection: ClickHouseConnection
    database: str

    @classmethod
    def from_settings(cls, settings: ClickHouseSettings) -> Self:
        """The store that the settings describe; it connects on first use."""
        return cls(connection_of_secret(settings.clickhouse_secret_arn), settings.clickhouse_database)

    def sample(self, team_id: int, window: Window, limit: int) -> Sequence[str]:
        """Ids of the traces that begin in the window, ordered by their hash, the first `limit`."""
        first_hour = window.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        batch = 2 * limit  # leaves room for those that began earlier: one query is nearly always enough
        sampled: list[str] = []
        after_hash, after_id = 0, ""
        while True:
            rows = self._rows(
                "sampling traces",
                _SAMPLE_SQL,
                {
                    "team_id": team_id,
                    "first_hour": _whole_seconds(first_hour),
                    "look_back_hour": _whole_seconds(first_hour - _LOOK_BACK),
                    "look_back": _whole_seconds(window.start - _LOOK_BACK),
                    "start": _whole_seconds(window.start),
                    "end": _whole_seconds(window.end),
                    "after_hash": after_hash,
                    "after_id": after_id,
                    "batch": batch,
                },
            )
            sampled += [trace_id for _, trace_id, began_earlier in rows if not began_earlier]
            if len(sampled) >= limit or len(rows) < batch:
                return sampled[:limit]
            after_hash, after_id, _ = rows[-1]

    def extent(self, team_id: int, trace_id: str, window: Window) -> TraceExtent | None:
        """First event of a trace, searched 24 hours around the window, its last 24 hours on at most, count, bytes."""
        rows = self._rows(
            "measuring a trace",
            _EXTENT_SQL,
            {
                "team_id": team_id,
                "trace_id": trace_id,
                "start": _whole_seconds(window.start - _LOOK_BACK),
                "end": _whole_seconds(window.end + _LOOK_BACK),
                "hours": c.MAX_TRACE_DURATION_HOURS,
            },
        )
        first, last, count, size = rows[0]
        return TraceExtent(first, last, count, size) if count else None

    def events(self, team_id: int, trace_id: str, extent: TraceExtent) -> Sequence[TraceEvent]:
        """All events of the trace between its first and last, each once, by time, then uuid."""
        rows = self._rows(
            "fetching a trace",
            _EVENTS_SQL,
            {
                "team_id": team_id,
                "trace_id": trace_id,
                "first": clickhouse_time(extent.first_event),
                "last": clickhouse_time(extent.last_event),
            },
            column_formats={"properties": "bytes"},
        )
        return [TraceEvent(uuid, event, timestamp, parse_properties(stored)) for uuid, event, timestamp, stored in rows]

    def _rows(
        self,
        doing: str,
        sql: str,
        parameters: Mapping[str, Any],
        column_formats: dict[str, str | dict[str, str]] | None = None,
    ) -> Sequence[Sequence[Any]]:
        with self.connection.client(doing) as client:
            result = client.query(
                sql.format(database=self.database), parameters=dict(parameters), column_formats=column_formats
            )
            return result.result_rows


def _whole_seconds(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
