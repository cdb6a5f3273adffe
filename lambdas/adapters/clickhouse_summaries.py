"""Reads and writes summaries, and the record of finished windows."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from adapters.clickhouse_client import ClickHouseConnection, clickhouse_time, connection_of_secret
from adapters.clickhouse_properties import parse_properties
from adapters.settings import ClickHouseSettings
from embedding.requests import rendering
from trace_summarization import constants as c
from trace_summarization.events import summary_distinct_id, summary_event_id
from trace_summarization.models import BatchRunRow, Mode, StoredSummary, SummaryEvent

_SEARCHED: Final = timedelta(hours=c.MAX_TRACE_DURATION_HOURS)

# Many small writers: the server gathers their rows into one part, and answers when it is written.
_INSERT_SETTINGS: Final = {
    "async_insert": 1,
    "wait_for_async_insert": 1,
    "wait_for_async_insert_timeout": c.CLICKHOUSE_MAX_EXECUTION_SECONDS,
}

# The expressions are those of the sort key of `events`, so that this reads one mark per day.
_FIND_SQL: Final = """
SELECT timestamp, properties
FROM {events_table}
WHERE team_id = {{team_id:Int64}}
    AND timestamp >= {{start:DateTime64(6, 'UTC')}} AND timestamp <= {{end:DateTime64(6, 'UTC')}}
    AND event = {{event:String}}
    AND cityHash64(distinct_id) = cityHash64({{distinct_id:String}}) AND distinct_id = {{distinct_id:String}}
    AND cityHash64(uuid) = cityHash64(toUUID({{uuid:String}})) AND uuid = toUUID({{uuid:String}})
ORDER BY created_at DESC
LIMIT 1
"""

_EMBEDDED_MODELS_SQL: Final = """
SELECT toString(model_name)
FROM {database}.document_embeddings
WHERE team_id = {{team_id:Int64}}
    AND toDate(timestamp) = toDate({{timestamp:DateTime64(6, 'UTC')}})
    AND product = {{product:String}} AND document_type = {{document_type:String}} AND rendering = {{rendering:String}}
    AND cityHash64(document_id) = cityHash64({{document_id:String}}) AND document_id = {{document_id:String}}
GROUP BY model_name
HAVING argMax(content_hash, summarized_at) = {{content_hash:String}}
    AND max(summarized_at) = {{summarized_at:DateTime64(6, 'UTC')}}
"""

_EVENT_COLUMNS: Final = {
    "uuid": "UUID",
    "event": "String",
    "properties": "String",
    "timestamp": "DateTime64(6, 'UTC')",
    "team_id": "Int64",
    "distinct_id": "String",
    "created_at": "DateTime64(6, 'UTC')",
}

_BATCH_RUN_COLUMNS: Final = {
    "team_id": "Int64",
    "window_start": "DateTime('UTC')",
    "window_end": "DateTime('UTC')",
    "mode": "LowCardinality(String)",
    "batch_run_id": "String",
    "execution_id": "String",
    "finished_at": "DateTime64(6, 'UTC')",
}
_METRIC_COLUMNS: Final = {
    "traces_queried": "UInt32",
    "summaries_skipped": "UInt32",
    "summaries_failed": "UInt32",
    "summaries_generated": "UInt32",
    "summaries_reused": "UInt32",
    "embedding_requests_succeeded": "UInt32",
    "embedding_requests_failed": "UInt32",
    "embedding_requests_unneeded": "UInt32",
    "summaries_skipped_by_reason": "Map(LowCardinality(String), UInt32)",
    "duration_seconds": "Float64",
    "max_cost_usd": "Nullable(Float64)",
    "cost_usd": "Nullable(Float64)",
    "model_calls": "UInt32",
    "input_tokens": "UInt64",
    "cached_input_tokens": "UInt64",
    "output_tokens": "UInt64",
    "tokens_are_estimated": "Bool",
    "price_version": "Nullable(String)",
}


@dataclass(frozen=True)
class ClickHouseSummaryStore:
    """`SummaryStore` on the user's `events` table and the schema's own tables."""

    connection: ClickHouseConnection
    database: str
    events_table: str

    @classmethod
    def from_settings(cls, settings: ClickHouseSettings) -> Self:
        """The store that the settings describe; it connects on first use."""
        connection = connection_of_secret(settings.clickhouse_secret_arn)
        return cls(connection, settings.clickhouse_database, settings.clickhouse_events_table)

    def find(self, team_id: int, trace_id: str, mode: Mode, first_event: datetime) -> StoredSummary | None:
        """The newest row of the summary's event, searched 24 hours around the trace's first event."""
        with self.connection.client("looking for a stored summary") as client:
            rows = client.query(
                _FIND_SQL.format(events_table=self.events_table),
                parameters={
                    "team_id": team_id,
                    "start": clickhouse_time(first_event - _SEARCHED),
                    "end": clickhouse_time(first_event + _SEARCHED),
                    "event": c.EVENT_NAME_TRACE_SUMMARY,
                    "distinct_id": summary_distinct_id(team_id),
                    "uuid": summary_event_id(team_id, trace_id, mode),
                },
                column_formats={"properties": "bytes"},
            ).result_rows
        return StoredSummary(rows[0][0], parse_properties(rows[0][1])) if rows else None

    def save(self, event: SummaryEvent) -> None:
        """Insert a summary event; an event with the same sort key replaces the earlier one."""
        row = (
            event.uuid,
            c.EVENT_NAME_TRACE_SUMMARY,
            json.dumps(dict(event.properties)),
            event.timestamp,
            event.team_id,
            event.distinct_id,
            datetime.now(UTC),
        )
        self._insert("saving a summary", self.events_table, _EVENT_COLUMNS, row)

    def embedded_models(
        self,
        team_id: int,
        trace_id: str,
        mode: Mode,
        timestamp: datetime,
        summarized_at: datetime,
        content_hash: str,
    ) -> frozenset[str]:
        """Names of the embedding models whose newest vector of this document is of this summary and its content."""
        with self.connection.client("looking for stored embeddings") as client:
            rows = client.query(
                _EMBEDDED_MODELS_SQL.format(database=self.database),
                parameters={
                    "team_id": team_id,
                    "timestamp": clickhouse_time(timestamp),
                    "product": c.EMBEDDING_PRODUCT,
                    "document_type": c.EMBEDDING_DOCUMENT_TYPE,
                    "rendering": rendering(mode),
                    "document_id": trace_id,
                    "summarized_at": clickhouse_time(summarized_at),
                    "content_hash": content_hash,
                },
            ).result_rows
        return frozenset(name for (name,) in rows)

    def save_batch_run(self, row: BatchRunRow) -> None:
        """Record that a window of a team is done; a rerun's row replaces the earlier one."""
        identity = (
            row.team_id,
            row.window.start,
            row.window.end,
            row.mode,
            row.batch_run_id,
            row.execution_id,
            row.finished_at,
        )
        metrics = tuple(getattr(row.metrics, name) for name in _METRIC_COLUMNS)
        columns = _BATCH_RUN_COLUMNS | _METRIC_COLUMNS
        self._insert("recording a finished window", f"{self.database}.batch_runs", columns, identity + metrics)

    def _insert(self, doing: str, table: str, columns: dict[str, str], row: tuple[Any, ...]) -> None:
        with self.connection.client(doing) as client:
            client.insert(
                table,
                [row],
                column_names=list(columns),
                column_type_names=list(columns.values()),
                settings=dict(_INSERT_SETTINGS),
            )
