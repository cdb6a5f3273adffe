"""What sampling and fetching read: the same hour of one team among half a million and five million other events.

Both must read about the same number of rows, however many events other teams have, and the team itself at other hours.
"""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from adapters.clickhouse import ClickHouseConnection, ClickHouseTraceStore, connect
from adapters.schema import apply_schema
from local.clickhouse_server import ClickHouseServer
from trace_summarization.models import Window

LARGEST_RATIO: Final = 1.2

_DATABASE: Final = "bench"
_EVENTS_TABLE: Final = f"{_DATABASE}.events"
_OTHER_EVENTS: Final = (500_000, 5_000_000)
_TEAM: Final = 1
_WINDOW: Final = Window(datetime(2025, 1, 15, 14, tzinfo=UTC), datetime(2025, 1, 15, 15, tzinfo=UTC))
_TEAM_TRACES: Final = 2_000
_EVENTS_PER_TRACE: Final = 8
_SAMPLED: Final = 100
_FETCHED: Final = 20
_RUNS: Final = 3

# Traces of eight events within eight seconds; the seconds leave the last eight of each hour free.
_TEAM_SQL: Final = """
INSERT INTO {events_table}
SELECT generateUUIDv4(), '$ai_generation', concat('{{"$ai_trace_id":"hour-', toString(intDiv(number, 8)),
    '","$ai_input":"', repeat('x', 300), '"}}'),
    toDateTime64('2025-01-15 14:00:00', 6, 'UTC') + cityHash64(intDiv(number, 8)) % 3590 + number % 8,
    {team}, '', now64(6)
FROM numbers({count})
"""
# A tenth of them the team's own: all hours of the day before and of this one but the measured hour.
_OTHER_SQL: Final = """
INSERT INTO {events_table}
WITH intDiv(number, 8) AS trace, cityHash64(trace) % 39 AS hour, cityHash64(trace, 1) % 3590 + number % 8 AS second
SELECT generateUUIDv4(), '$ai_generation', concat('{{"$ai_trace_id":"other-', toString(trace),
    '","$ai_input":"', repeat('x', 100), '"}}'),
    toDateTime64('2025-01-14 00:00:00', 6, 'UTC') + if(hour = 38, 39, hour) * 3600 + second,
    if(trace % 10 = 0, {team}, {team} + 1 + trace % 97), '', now64(6)
FROM numbers({first}, {count})
"""


def run(scale: float = 1.0) -> dict[str, Any]:
    """Measure at both sizes; `scale` shrinks all of it. About a minute and a half and 2 GB of memory at scale 1."""
    with ClickHouseServer(None) as server, connect(server.url) as client:
        # It remembers which rows a condition matched, and would hide what the first read costs.
        client.set_client_setting("use_query_condition_cache", 0)
        client.set_client_setting("max_execution_time", 0)
        apply_schema(client, _DATABASE, _EVENTS_TABLE)
        count = round(_TEAM_TRACES * scale) * _EVENTS_PER_TRACE
        client.command(_TEAM_SQL.format(events_table=_EVENTS_TABLE, team=_TEAM, count=count))
        sizes = []
        loaded = 0
        for other_events in (round(size * scale) for size in _OTHER_EVENTS):
            seconds = _fill(client, loaded, other_events)
            loaded = other_events
            sizes.append({"other_events": other_events, "fill_seconds": round(seconds, 1)} | _measure(client))
    small, large = sizes
    return {
        "benchmark": "clickhouse",
        "sizes": sizes,
        "sampling_rows_ratio": round(large["sampling_rows"] / small["sampling_rows"], 3),
        "fetch_rows_ratio": round(large["fetch_rows"] / small["fetch_rows"], 3),
        "largest_ratio": LARGEST_RATIO,
    }


def report(result: dict[str, Any]) -> str:
    """The result as a table."""
    lines = [f"{'other events':>14}{'sampling':>24}{'one fetch':>24}"]
    lines += [
        f"{size['other_events']:>14,}"
        f"{size['sampling_rows']:>10,.0f} rows {size['sampling_milliseconds']:>5.1f} ms"
        f"{size['fetch_rows']:>10,.0f} rows {size['fetch_milliseconds']:>5.1f} ms"
        for size in result["sizes"]
    ]
    lines.append(
        f"rows read, large over small: sampling {result['sampling_rows_ratio']}, "
        f"one fetch {result['fetch_rows_ratio']} (at most {result['largest_ratio']})"
    )
    return "\n".join(lines)


def passes(result: dict[str, Any]) -> bool:
    """Whether both read about the same number of rows at both sizes."""
    return bool(max(result["sampling_rows_ratio"], result["fetch_rows_ratio"]) <= LARGEST_RATIO)


def _fill(client: Client, already: int, total: int) -> float:
    began = time.perf_counter()
    statement = _OTHER_SQL.format(events_table=_EVENTS_TABLE, team=_TEAM, first=already, count=total - already)
    client.command(statement)
    for table in ("ai_events", "trace_index"):
        client.command(f"OPTIMIZE TABLE {_DATABASE}.{table} FINAL")  # how many parts there are depends on the moment
    return time.perf_counter() - began


def _measure(client: Client) -> dict[str, float]:
    store = ClickHouseTraceStore(ClickHouseConnection(lambda: client), _DATABASE)
    trace_ids = store.sample(_TEAM, _WINDOW, _SAMPLED)

    def fetch() -> None:
        for trace_id in trace_ids[:_FETCHED]:
            extent = store.extent(_TEAM, trace_id, _WINDOW)
            if extent is None or len(store.events(_TEAM, trace_id, extent)) != _EVENTS_PER_TRACE:
                raise AssertionError(f"trace {trace_id} is incomplete")

    def sample() -> None:
        store.sample(_TEAM, _WINDOW, _SAMPLED)

    return {
        "sampling_rows": float(_rows_read(client, sample)),
        "sampling_milliseconds": _milliseconds(sample),
        "fetch_rows": _rows_read(client, fetch) / _FETCHED,
        "fetch_milliseconds": _milliseconds(fetch) / _FETCHED,
    }


def _rows_read(client: Client, action: Callable[[], None]) -> int:
    """Rows that the engine reads from tables, less those of asking for that number."""

    def selected() -> int:
        sql = "SELECT sum(value) FROM system.events WHERE event = 'SelectedRows'"
        return int(client.query(sql).result_rows[0][0])

    first, second = selected(), selected()
    action()
    return selected() - second - (second - first)


def _milliseconds(action: Callable[[], None]) -> float:
    times = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        action()
        times.append(1_000 * (time.perf_counter() - began))
    return round(statistics.median(times), 1)
