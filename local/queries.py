"""What the command line reads from ClickHouse: each query names its team."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from local.stack_info import StackInfo
from trace_summarization.models import Window


@dataclass(frozen=True)
class BusyHour:
    """An hour in which traces of a team begin."""

    hour: datetime
    traces: int


_BEGINNINGS = """
    SELECT trace_hash, trace_id, min(first_event) AS begins
    FROM {database:Identifier}.trace_index
    WHERE team_id = {team_id:Int64}
    GROUP BY trace_hash, trace_id
"""


def busy_hours(info: StackInfo, team_ids: Sequence[int]) -> list[BusyHour]:
    """Hours in which traces of these teams begin, by time."""
    counts: dict[datetime, int] = {}
    with info.clickhouse() as client:
        for team_id in team_ids:
            rows = client.query(
                f"SELECT toStartOfHour(begins, 'UTC') AS hour, count() FROM ({_BEGINNINGS}) GROUP BY hour",  # noqa: S608 - a constant
                parameters={"database": info.clickhouse_database, "team_id": team_id},
            ).result_rows
            for hour, traces in rows:
                moment = hour.replace(tzinfo=UTC)
                counts[moment] = counts.get(moment, 0) + traces
    return [BusyHour(hour, traces) for hour, traces in sorted(counts.items())]


def nearest_hours(hours: Sequence[BusyHour], window: Window, limit: int = 3) -> list[BusyHour]:
    """The hours with data nearest to a window, by time."""
    middle = window.start + (window.end - window.start) / 2
    nearest = sorted(hours, key=lambda busy: abs(busy.hour + timedelta(minutes=30) - middle))[:limit]
    return sorted(nearest, key=lambda busy: busy.hour)


def trace_ids(info: StackInfo, team_id: int) -> list[str]:
    """Ids of all the team's traces that are short enough to be summarized."""
    with info.clickhouse() as client:
        rows = client.query(
            "SELECT DISTINCT trace_id FROM {database:Identifier}.ai_events WHERE team_id = {team_id:Int64} ORDER BY 1",
            parameters={"database": info.clickhouse_database, "team_id": team_id},
        ).result_rows
    return [row[0] for row in rows]


def teams_with_traces(info: StackInfo) -> list[int]:
    """Teams that have trace activity at all: local data only, a deployment goes by its allowlist."""
    with info.clickhouse() as client:
        rows = client.query(
            "SELECT DISTINCT team_id FROM {database:Identifier}.trace_index ORDER BY team_id",
            parameters={"database": info.clickhouse_database},
        ).result_rows
    return [row[0] for row in rows]


def window_of_trace(info: StackInfo, team_id: int, trace_id: str) -> Window | None:
    """A window that holds the trace's first event; None when the team has no such trace."""
    with info.clickhouse() as client:
        rows = client.query(
            f"SELECT toStartOfHour(begins, 'UTC') FROM ({_BEGINNINGS}) WHERE trace_id = {{trace_id:String}}",  # noqa: S608 - a constant
            parameters={"database": info.clickhouse_database, "team_id": team_id, "trace_id": trace_id},
        ).result_rows
    if not rows:
        return None
    start = rows[0][0].replace(tzinfo=UTC)
    return Window(start, start + timedelta(hours=1))


_SUMMARY_COLUMNS = (
    "trace_id", "mode", "timestamp", "title", "flow_diagram", "bullets", "interesting_notes", "event_count",
    "text_repr_length", "model", "batch_run_id", "summarized_at",
)  # fmt: skip


def stored_summaries(
    info: StackInfo, team_id: int, limit: int, start: datetime | None = None, end: datetime | None = None
) -> list[dict[str, Any]]:
    """The team's summaries by time of their trace, the newest last. Times are UTC datetimes."""
    # The bounds of ClickHouse's DateTime64 stand for no bound.
    parameters = {
        "database": info.clickhouse_database,
        "team_id": team_id,
        "start": start or datetime(1970, 1, 1, tzinfo=UTC),
        "end": end or datetime(2261, 1, 1, tzinfo=UTC),
        "limit": limit,
    }
    with info.clickhouse() as client:
        rows = client.query(
            f"SELECT {', '.join(_SUMMARY_COLUMNS)} FROM {{database:Identifier}}.trace_summaries"  # noqa: S608 - constants
            " WHERE team_id = {team_id:Int64} AND timestamp >= {start:DateTime64(6, 'UTC')}"
            " AND timestamp < {end:DateTime64(6, 'UTC')} ORDER BY timestamp DESC, trace_id LIMIT {limit:UInt32}",
            parameters=parameters,
        ).result_rows
    return [dict(zip(_SUMMARY_COLUMNS, row, strict=True)) for row in reversed(rows)]


def embedded_summaries(info: StackInfo, team_id: int) -> dict[str, int]:
    """How many of the team's summaries have a vector, by embedding model."""
    with info.clickhouse() as client:
        rows = client.query(
            "SELECT toString(model_name), count() FROM {database:Identifier}.document_embeddings FINAL"
            " WHERE team_id = {team_id:Int64} GROUP BY model_name ORDER BY model_name",
            parameters={"database": info.clickhouse_database, "team_id": team_id},
        ).result_rows
    return {str(model): int(count) for model, count in rows}


def summaries_without_vector(info: StackInfo, team_id: int, model: str) -> int:
    """How many of the team's summaries have no vector of the embedding model."""
    with info.clickhouse() as client:
        rows = client.query(
            "SELECT count() FROM {database:Identifier}.trace_summaries"
            " WHERE team_id = {team_id:Int64} AND (trace_id, concat('llma_trace_', mode)) NOT IN"
            " (SELECT document_id, toString(rendering) FROM {database:Identifier}.document_embeddings"
            " WHERE team_id = {team_id:Int64} AND model_name = {model:String})",
            parameters={"database": info.clickhouse_database, "team_id": team_id, "model": model},
        ).result_rows
    return int(rows[0][0])


def summarized_days(info: StackInfo, team_id: int) -> Window | None:
    """The whole UTC days that hold all of the team's summarized traces; None when it has none."""
    with info.clickhouse() as client:
        rows = client.query(
            "SELECT toUnixTimestamp(min(timestamp)), toUnixTimestamp(max(timestamp))"
            " FROM {database:Identifier}.trace_summaries WHERE team_id = {team_id:Int64} HAVING count() > 0",
            parameters={"database": info.clickhouse_database, "team_id": team_id},
        ).result_rows
    if not rows:
        return None
    first, last = (datetime.fromtimestamp(seconds, UTC).replace(hour=0, minute=0, second=0) for seconds in rows[0])
    return Window(first, last + timedelta(days=1))
