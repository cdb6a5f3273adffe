"""ClickHouse behind the domain's ports."""

from adapters.clickhouse_client import ClickHouseConnection, connect
from adapters.clickhouse_summaries import ClickHouseSummaryStore
from adapters.clickhouse_traces import ClickHouseTraceStore

__all__ = ["ClickHouseConnection", "ClickHouseSummaryStore", "ClickHouseTraceStore", "connect"]
