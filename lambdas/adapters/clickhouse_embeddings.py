"""Reads and writes `document_embeddings` for the worker: what is stored of some documents, and their rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, Final, Self

from adapters.clickhouse_client import ClickHouseConnection, clickhouse_time, connection_of_secret
from adapters.settings import ClickHouseSettings
from embedding.ports import Document, DocumentKey, EmbeddedVersion, StoredEmbeddings, Vector
from trace_summarization import constants as c
from trace_summarization.errors import ClickHouseTimeout

_AROUND: Final = timedelta(days=30)
_FIRST_DAY: Final = datetime(1970, 1, 1, tzinfo=UTC)  # of `Date`, which the sort key holds
# Of one parameter, as it travels in a form: ClickHouse takes 128 KiB (`http_max_field_value_size`).
_MAX_PARAMETER_BYTES: Final = 65_536
# ClickHouse refuses an insert that touches more than 100 partitions (`max_partitions_per_insert_block`): a batch with
# such timestamps would fail for ever. What touches more than a few is not gathered with the rows of other writers,
# whose partitions would be counted together.
_MAX_INSERT_MONTHS: Final = 50
_MAX_GATHERED_MONTHS: Final = 2

_ASYNC_INSERT: Final = {
    "async_insert": 1,
    "wait_for_async_insert": 1,
    "wait_for_async_insert_timeout": c.CLICKHOUSE_MAX_EXECUTION_SECONDS,
}
_PLAIN_INSERT: Final = {"async_insert": 0}

# The sort key's own expressions, so that only the marks are read in which the documents stand.
_KEY: Final = "toDate(timestamp), product, document_type, model_name, rendering, cityHash64(document_id)"

_VERSIONS_SQL: Final = """
SELECT
    toDate(timestamp) AS day, toString(product), toString(document_type), toString(model_name), toString(rendering),
    document_id, max(summarized_at), argMax(content_hash, (summarized_at, inserted_at))
FROM {database}.document_embeddings
WHERE team_id = {{team_id:Int64}}
    AND timestamp >= {{start:DateTime64(6, 'UTC')}} AND timestamp < {{end:DateTime64(6, 'UTC')}}
    AND ({key}) IN (
        SELECT key.1, key.2, key.3, key.4, key.5, cityHash64(key.6)
        FROM (
            SELECT arrayJoin(arrayZip(
                {{days:Array(Date)}}, {{products:Array(String)}}, {{document_types:Array(String)}},
                {{model_names:Array(String)}}, {{renderings:Array(String)}}, {{document_ids:Array(String)}}
            )) AS key
        )
    )
GROUP BY day, product, document_type, model_name, rendering, document_id
"""

# One row is chosen for each content before its vector is read: of some contents there are thousands.
_VECTORS_SQL: Final = """
SELECT toString(model_name), content_hash, embedding
FROM {database}.document_embeddings
WHERE team_id = {{team_id:Int64}}
    AND timestamp >= {{start:DateTime64(6, 'UTC')}} AND timestamp < {{end:DateTime64(6, 'UTC')}}
    AND model_name IN {{model_names:Array(String)}} AND content_hash IN {{content_hashes:Array(String)}}
    AND ({key}) IN (
        SELECT any(({key}))
        FROM {database}.document_embeddings
        WHERE team_id = {{team_id:Int64}}
            AND toDate(timestamp) >= {{first_day:Date}} AND toDate(timestamp) < {{end_day:Date}}
            AND timestamp >= {{start:DateTime64(6, 'UTC')}} AND timestamp < {{end:DateTime64(6, 'UTC')}}
            AND model_name IN {{model_names:Array(String)}} AND content_hash IN {{content_hashes:Array(String)}}
        GROUP BY model_name, content_hash
    )
LIMIT 1 BY model_name, content_hash
"""

_COLUMNS: Final = {
    "team_id": "Int64",
    "product": "LowCardinality(String)",
    "document_type": "LowCardinality(String)",
    "model_name": "LowCardinality(String)",
    "rendering": "LowCardinality(String)",
    "document_id": "String",
    "timestamp": "DateTime64(6, 'UTC')",
    "summarized_at": "DateTime64(6, 'UTC')",
    "content_hash": "String",
    "content": "String",
    "words": "String",
    "metadata": "String",
}
_VECTOR_COLUMN: Final = {"embedding": "Array(Float32)"}


@dataclass(frozen=True)
class ClickHouseEmbeddingStore:
    """`EmbeddingStore` on the schema's own table."""

    connection: ClickHouseConnection
    database: str

    @classmethod
    def from_settings(cls, settings: ClickHouseSettings) -> Self:
        """The store that the settings describe; it connects on first use."""
        return cls(connection_of_secret(settings.clickhouse_secret_arn), settings.clickhouse_database)

    def find(self, team_id: int, documents: Sequence[Document], seconds_left: Callable[[], float]) -> StoredEmbeddings:
        """What is stored of the team's documents. Vectors are read only of what no stored version stands for."""
        versions: dict[DocumentKey, EmbeddedVersion] = {}
        for chunk in _chunks(documents):
            _check_time(seconds_left)
            versions |= self._versions(team_id, chunk)
        outdated = [one for one in documents if one.key not in versions or not versions[one.key].stands_for(one)]
        vectors: dict[tuple[str, str], Vector] = {}
        for start, end, near in _neighbourhoods(outdated):
            for chunk in _chunks(near):
                _check_time(seconds_left)
                vectors |= self._vectors(team_id, start, end, chunk)
        return StoredEmbeddings(versions, vectors)

    def save(self, rows: Sequence[tuple[Document, Vector]]) -> None:
        """Insert rows: one statement, several only where they are of very many months."""
        for settings, part in _inserts(rows):
            with self.connection.client("saving embeddings") as client:
                client.insert(
                    f"{self.database}.document_embeddings",
                    [[*(getattr(document, name) for name in _COLUMNS), vector] for document, vector in part],
                    column_names=[*_COLUMNS, *_VECTOR_COLUMN],
                    column_type_names=[*_COLUMNS.values(), *_VECTOR_COLUMN.values()],
                    settings=dict(settings),
                )

    def _versions(self, team_id: int, documents: Sequence[Document]) -> dict[DocumentKey, EmbeddedVersion]:
        keys = list(dict.fromkeys(document.key for document in documents))
        days = [key.day for key in keys]
        rows = self._rows(
            "looking for stored versions of documents",
            _VERSIONS_SQL,
            {
                "team_id": team_id,
                "start": clickhouse_time(_midnight(min(days))),
                "end": clickhouse_time(_midnight(max(days) + timedelta(days=1))),
                "days": days,
                "products": [key.product for key in keys],
                "document_types": [key.document_type for key in keys],
                "model_names": [key.model_name for key in keys],
                "renderings": [key.rendering for key in keys],
                "document_ids": [key.document_id for key in keys],
            },
        )
        wanted = set(keys)  # another document may have the same hash
        return {key: EmbeddedVersion(*row[6:]) for row in rows if (key := DocumentKey(*row[:6])) in wanted}

    def _vectors(
        self, team_id: int, start: datetime, end: datetime, documents: Sequence[Document]
    ) -> dict[tuple[str, str], Vector]:
        rows = self._rows(
            "looking for contents embedded before",
            _VECTORS_SQL,
            {
                "team_id": team_id,
                "start": clickhouse_time(start),
                "end": clickhouse_time(end),
                "first_day": start.date(),
                "end_day": end.date(),
                "model_names": list(dict.fromkeys(document.model_name for document in documents)),
                "content_hashes": list(dict.fromkeys(document.content_hash for document in documents)),
            },
        )
        return {(model_name, content_hash): vector for model_name, content_hash, vector in rows}

    def _rows(self, doing: str, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        with self.connection.client(doing) as client:
            return client.query(sql.format(database=self.database, key=_KEY), parameters=dict(parameters)).result_rows


def _check_time(seconds_left: Callable[[], float]) -> None:
    if seconds_left() <= 0:
        raise ClickHouseTimeout("no time left to look for stored embeddings")


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """The documents in parts whose values, one parameter for each column, keep to the server's limit."""
    chunk: list[Document] = []
    size = 0
    for document in documents:
        longest = max(document.document_id, document.model_name, document.content_hash, key=len)
        bytes_quoted = 2 * len(longest.encode()) + 3
        if chunk and size + bytes_quoted > _MAX_PARAMETER_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(document)
        size += bytes_quoted
    if chunk:
        yield chunk


def _neighbourhoods(documents: Sequence[Document]) -> Iterator[tuple[datetime, datetime, list[Document]]]:
    """The documents by spans of whole days, each span 30 days around its documents, none overlapping another."""
    near: list[Document] = []
    start = end = _FIRST_DAY
    for document in sorted(documents, key=lambda one: one.timestamp):
        day = _midnight(document.timestamp.astimezone(UTC).date())
        if near and day - _AROUND >= end:
            yield start, end, near
            near = []
        if not near:
            start = max(day - _AROUND, _FIRST_DAY)
        end = day + _AROUND + timedelta(days=1)
        near.append(document)
    if near:
        yield start, end, near


def _inserts(
    rows: Sequence[tuple[Document, Vector]],
) -> Iterator[tuple[Mapping[str, int], list[tuple[Document, Vector]]]]:
    months = [list(of_month) for _, of_month in groupby(sorted(rows, key=_month), key=_month)]
    for first in range(0, len(months), _MAX_INSERT_MONTHS):
        part = months[first : first + _MAX_INSERT_MONTHS]
        settings = _ASYNC_INSERT if len(part) <= _MAX_GATHERED_MONTHS else _PLAIN_INSERT
        yield settings, [row for of_month in part for row in of_month]


def _month(row: tuple[Document, Vector]) -> tuple[int, int]:
    timestamp = row[0].timestamp.astimezone(UTC)
    return timestamp.year, timestamp.month
