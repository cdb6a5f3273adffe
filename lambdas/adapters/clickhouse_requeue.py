"""Reads stored summaries page by page, and which versions of them are embedded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final, Self
from uuid import UUID

from adapters.clickhouse_client import ClickHouseConnection, clickhouse_time, connection_of_secret
from adapters.clickhouse_properties import parse_properties
from adapters.settings import ClickHouseSettings
from embedding.ports import Document, DocumentKey, EmbeddedVersion, PlacedSummary, SummaryPosition
from trace_summarization import constants as c
from trace_summarization.events import summary_distinct_id
from trace_summarization.models import Window

# In the order of the sort key of `events`, so that a page reads on where the last one ended. Rows with equal sort keys
# are versions of one summary. A row that is longer than any summary can be is told without its text.
_SUMMARIES_SQL: Final = """
SELECT
    toDate(timestamp) AS day, cityHash64(uuid) AS uuid_hash, toString(uuid), timestamp,
    if(length(properties) <= {{max_bytes:UInt64}}, properties, '') AS stored
FROM {events_table}
WHERE team_id = {{team_id:Int64}}
    AND timestamp >= {{start:DateTime64(6, 'UTC')}} AND timestamp < {{end:DateTime64(6, 'UTC')}}
    AND event = {{event:String}}
    AND cityHash64(distinct_id) = cityHash64({{distinct_id:String}}) AND distinct_id = {{distinct_id:String}}
    AND (
        toDate(timestamp) > {{after_day:Date}}
        OR cityHash64(uuid) > {{after_hash:UInt64}}
        OR (cityHash64(uuid) = {{after_hash:UInt64}} AND uuid > toUUID({{after_uuid:String}}))
    )
ORDER BY day, uuid_hash, uuid, created_at DESC
LIMIT 1 BY day, uuid_hash, uuid
LIMIT {{limit:UInt32}}
"""

_VERSIONS_SQL: Final = """
SELECT
    toDate(timestamp) AS day, toString(product), toString(document_type), toString(model_name), toString(rendering),
    document_id, max(summarized_at), argMax(content_hash, (summarized_at, inserted_at))
FROM {database}.document_embeddings
WHERE team_id = {{team_id:Int64}}
    AND toDate(timestamp) >= {{first_day:Date}} AND toDate(timestamp) <= {{last_day:Date}}
    AND product IN {{products:Array(String)}} AND document_type IN {{document_types:Array(String)}}
    AND model_name IN {{model_names:Array(String)}} AND rendering IN {{renderings:Array(String)}}
    AND cityHash64(document_id) IN (SELECT cityHash64(arrayJoin({{document_ids:Array(String)}})))
    AND document_id IN {{document_ids:Array(String)}}
GROUP BY day, product, document_type, model_name, rendering, document_id
"""

# Of one parameter, as it travels in a form: ClickHouse takes 128 KiB (`http_max_field_value_size`).
_MAX_PARAMETER_BYTES: Final = 65_536
_NO_UUID: Final = UUID(int=0)


@dataclass(frozen=True)
class ClickHouseRequeueStore:
    """`RequeueStore` on the user's `events` table and `document_embeddings`."""

    connection: ClickHouseConnection
    database: str
    events_table: str

    @classmethod
    def from_settings(cls, settings: ClickHouseSettings) -> Self:
        """The store that the settings describe; it connects on first use."""
        connection = connection_of_secret(settings.clickhouse_secret_arn)
        return cls(connection, settings.clickhouse_database, settings.clickhouse_events_table)

    def summaries(
        self, team_id: int, window: Window, after: SummaryPosition | None, limit: int
    ) -> Sequence[PlacedSummary]:
        """The next summaries of traces that begin in the window, by position, each once in its newest version."""
        start = window.start
        if after is not None:
            start = max(start, datetime.combine(after.day, time(), UTC))
        parameters = {
            "team_id": team_id,
            "start": clickhouse_time(start),
            "end": clickhouse_time(window.end),
            "event": c.EVENT_NAME_TRACE_SUMMARY,
            "distinct_id": summary_distinct_id(team_id),
            # Days before the window's own: all of the window comes after it.
            "after_day": after.day if after else date(1970, 1, 1),
            "after_hash": after.uuid_hash if after else 0,
            "after_uuid": str(after.uuid if after else _NO_UUID),
            "max_bytes": c.MAX_STORED_SUMMARY_BYTES,
            "limit": limit,
        }
        with self.connection.client("reading stored summaries") as client:
            rows = client.query(
                _SUMMARIES_SQL.format(events_table=self.events_table),
                parameters=parameters,
                column_formats={"stored": "bytes"},
            ).result_rows
        return [
            PlacedSummary(SummaryPosition(day, uuid_hash, UUID(uuid)), timestamp, parse_properties(stored))
            for day, uuid_hash, uuid, timestamp, stored in rows
        ]

    def embedded(self, team_id: int, documents: Sequence[Document]) -> Mapping[DocumentKey, EmbeddedVersion]:
        """Of those of the team's documents that have a row, which version it holds: that of the newest summary."""
        found: dict[DocumentKey, EmbeddedVersion] = {}
        for chunk in _chunks(documents):
            found |= self._embedded(team_id, chunk)
        return {document.key: found[document.key] for document in documents if document.key in found}

    def _embedded(self, team_id: int, documents: Sequence[Document]) -> dict[DocumentKey, EmbeddedVersion]:
        keys = [document.key for document in documents]
        parameters: dict[str, Any] = {
            "team_id": team_id,
            "first_day": min(key.day for key in keys),
            "last_day": max(key.day for key in keys),
        }
        for name in ("product", "document_type", "model_name", "rendering", "document_id"):
            parameters[f"{name}s"] = sorted({getattr(key, name) for key in keys})
        with self.connection.client("looking for stored embeddings") as client:
            rows = client.query(_VERSIONS_SQL.format(database=self.database), parameters=parameters).result_rows
        return {DocumentKey(*row[:6]): EmbeddedVersion(*row[6:]) for row in rows}


def _chunks(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """The documents in parts whose ids fit a parameter."""
    chunk: list[Document] = []
    size = 0
    for document in documents:
        added = 2 * len(document.document_id.encode()) + len("'',")
        if chunk and size + added > _MAX_PARAMETER_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(document)
        size += added
    if chunk:
        yield chunk
