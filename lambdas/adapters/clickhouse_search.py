"""Ranks a team's summaries by their vectors and by their words, and reads the ones to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from adapters.clickhouse_client import ClickHouseConnection, clickhouse_time, connection_of_secret
from adapters.clickhouse_properties import parse_properties
from adapters.settings import ClickHouseSettings
from embedding.needles import Needle
from embedding.ports import Vector
from embedding.rankings import NearDocument, Scope, SummaryRef, WordedDocument
from embedding.requests import rendering
from trace_summarization import constants as c
from trace_summarization.events import summary_distinct_id, summary_event_id
from trace_summarization.models import Mode, StoredSummary

_MODES: Final[tuple[Mode, ...]] = ("detailed", "minimal")
_MODE_OF: Final = {rendering(mode): mode for mode in _MODES}
# ClickHouse takes at most 128 KiB in one parameter (http_max_field_value_size); a number takes up to 13 bytes.
_NUMBERS_PER_PARAMETER: Final = 8_192

# The newest version of each document, merged or not: versions of one document share its sort key and its month.
_FROM_SCOPE: Final = """
FROM {database}.document_embeddings FINAL
WHERE team_id = {{team_id:Int64}} AND model_name = {{model_name:String}}
    AND product = {{product:String}} AND document_type = {{document_type:String}}
    AND rendering IN {{renderings:Array(String)}}
    AND timestamp >= {{start:DateTime64(6, 'UTC')}} AND timestamp < {{end:DateTime64(6, 'UTC')}}
"""
_OF_BATCH_RUN: Final = "    AND JSONExtractString(metadata, 'batch_run_id') = {{batch_run_id:String}}\n"
_WITHOUT_TRACE: Final = "    AND document_id != {{without_trace_id:String}}\n"

# A trace has at most one document per mode, so that twice as many documents hold enough traces.
# Rounded, so that it does not depend on the order in which a server's vector instructions add.
_NEAREST_SQL: Final = """
SELECT document_id, rendering, timestamp, similarity
FROM (
    SELECT document_id, rendering, timestamp, round(1 - cosineDistance(embedding, vector), 6) AS similarity
    {from_scope}
        AND length(embedding) = length(vector) -- one that is not would end the query
    ORDER BY similarity DESC, document_id, timestamp, rendering
    LIMIT 2 * {{limit:UInt32}}
)
WHERE isFinite(similarity)
ORDER BY similarity DESC, document_id, timestamp, rendering
LIMIT 1 BY document_id, toDate(timestamp)
LIMIT {{limit:UInt32}}
"""
_VECTOR: Final = "WITH arrayConcat({{vector:Array(Float32)}}, {{further:Array(Float32)}}) AS vector"

# BM25 (Robertson, Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) of presence: each needle
# counts once. k1 = 1.2; b = 0.3, since all documents are summaries and a long one is not about more.
# One `position` per needle takes a third of the time of `multiSearchAllPositions` over all of them.
_WITH_WORDS_SQL: Final = """
WITH
    scope AS (
        SELECT
            document_id,
            rendering,
            timestamp,
            [{found}] AS found,
            length(words) AS size
        {from_scope}
    ),
    whole AS (
        SELECT
            avg(size) AS usual_size,
            arrayMap(
                (holding, weight) -> weight * log(1 + (count() - holding + 0.5) / (holding + 0.5)),
                arrayResize(sumForEach(found), length({{weights:Array(Float64)}})), -- empty where the scope is
                {{weights:Array(Float64)}}
            ) AS worths
        FROM scope
    )
SELECT document_id, rendering, timestamp, score, arrayFilter((place, held) -> held, arrayEnumerate(found), found)
FROM (
    SELECT
        document_id,
        rendering,
        timestamp,
        found,
        2.2 / (1 + 1.2 * (0.7 + 0.3 * size / usual_size)) AS shortness,
        round(shortness * arraySum((held, worth) -> held * worth, found, worths), 6) AS score
    FROM scope CROSS JOIN whole
    WHERE has(found, 1)
    ORDER BY score DESC, document_id, timestamp, rendering
    LIMIT 2 * {{limit:UInt32}}
)
ORDER BY score DESC, document_id, timestamp, rendering
LIMIT 1 BY document_id, toDate(timestamp)
LIMIT {{limit:UInt32}}
"""

_VECTOR_OF_SQL: Final = """
SELECT embedding
FROM {database}.document_embeddings FINAL
WHERE team_id = {{team_id:Int64}} AND model_name = {{model_name:String}}
    AND product = {{product:String}} AND document_type = {{document_type:String}}
    AND rendering IN {{renderings:Array(String)}}
    AND cityHash64(document_id) = cityHash64({{trace_id:String}}) AND document_id = {{trace_id:String}}
ORDER BY indexOf({{renderings:Array(String)}}, rendering), timestamp DESC
LIMIT 1
"""

# The expressions are those of the sort key of `events`, so that this reads few marks per day.
_SUMMARIES_SQL: Final = """
SELECT toString(uuid), timestamp, properties
FROM {events_table}
WHERE team_id = {{team_id:Int64}}
    AND toDate(timestamp) IN (SELECT toDate(arrayJoin({{timestamps:Array(DateTime64(6, 'UTC'))}})))
    AND event = {{event:String}}
    AND cityHash64(distinct_id) = cityHash64({{distinct_id:String}}) AND distinct_id = {{distinct_id:String}}
    AND cityHash64(uuid) IN (SELECT cityHash64(toUUID(arrayJoin({{uuids:Array(String)}}))))
    AND toString(uuid) IN {{uuids:Array(String)}}
ORDER BY created_at DESC
LIMIT 1 BY uuid, toDate(timestamp)
"""


@dataclass(frozen=True)
class ClickHouseSearchStore:
    """`SearchStore` on `document_embeddings` and the user's `events`."""

    connection: ClickHouseConnection
    database: str
    events_table: str

    @classmethod
    def from_settings(cls, settings: ClickHouseSettings) -> Self:
        """The store that the settings describe; it connects on first use."""
        connection = connection_of_secret(settings.clickhouse_secret_arn)
        return cls(connection, settings.clickhouse_database, settings.clickhouse_events_table)

    def nearest(self, scope: Scope, vector: Vector, limit: int) -> Sequence[NearDocument]:
        """The documents whose vectors point most nearly where `vector` does."""
        numbers = [float(f"{number:.7g}") for number in vector]  # more digits than a Float32 has only fill the request
        rows = self._rows(
            "ranking summaries by meaning",
            _VECTOR.format() + _NEAREST_SQL.format(from_scope=self._from(scope)),
            {
                **_parameters(scope),
                "vector": numbers[:_NUMBERS_PER_PARAMETER],
                "further": numbers[_NUMBERS_PER_PARAMETER:],
                "limit": limit,
            },
        )
        return [NearDocument(_summary_ref(row), row[3]) for row in rows]

    def with_words(self, scope: Scope, needles: Sequence[Needle], limit: int) -> Sequence[WordedDocument]:
        """The documents that hold at least one needle, by what they hold and how rare that is in the scope."""
        rows = self._rows(
            "ranking summaries by words",
            _WITH_WORDS_SQL.format(
                from_scope=self._from(scope),
                found=", ".join(f"position(words, {{needle_{place}:String}}) > 0" for place in range(len(needles))),
            ),
            {
                **_parameters(scope),
                **{f"needle_{place}": f" {needle.text} " for place, needle in enumerate(needles)},
                "weights": [needle.weight for needle in needles],
                "limit": limit,
            },
        )
        return [WordedDocument(_summary_ref(row), row[3], tuple(place - 1 for place in row[4])) for row in rows]

    def vector_of(self, team_id: int, model_name: str, trace_id: str, mode: Mode | None) -> Vector | None:
        """The newest vector of a trace's summary: of this mode, else the detailed one's, else any; None without one."""
        rows = self._rows(
            "reading a trace's vector",
            _VECTOR_OF_SQL.format(database=self.database),
            {
                "team_id": team_id,
                "model_name": model_name,
                "product": c.EMBEDDING_PRODUCT,
                "document_type": c.EMBEDDING_DOCUMENT_TYPE,
                "renderings": sorted(_MODE_OF, key=lambda name: _MODE_OF[name] != mode),
                "trace_id": trace_id,
            },
        )
        vector: Vector | None = rows[0][0] if rows else None
        return vector

    def summaries(self, team_id: int, wanted: Sequence[SummaryRef]) -> Mapping[SummaryRef, StoredSummary]:
        """The stored summaries of those that still have one: the newest row of each one's event on its trace's day."""
        if not wanted:
            return {}
        by_event = {(summary_event_id(team_id, ref.trace_id, ref.mode), ref.trace.day): ref for ref in wanted}
        rows = self._rows(
            "reading the summaries found",
            _SUMMARIES_SQL.format(events_table=self.events_table),
            {
                "team_id": team_id,
                "timestamps": [clickhouse_time(ref.timestamp) for ref in wanted],
                "event": c.EVENT_NAME_TRACE_SUMMARY,
                "distinct_id": summary_distinct_id(team_id),
                "uuids": sorted({uuid for uuid, _ in by_event}),
            },
            column_formats={"properties": "bytes"},
        )
        found = ((by_event.get((uuid, timestamp.date())), timestamp, stored) for uuid, timestamp, stored in rows)
        return {ref: StoredSummary(timestamp, parse_properties(stored)) for ref, timestamp, stored in found if ref}

    def _from(self, scope: Scope) -> str:
        parts = [_FROM_SCOPE.format(database=self.database)]
        if scope.batch_run_id is not None:
            parts.append(_OF_BATCH_RUN.format())
        if scope.without_trace_id is not None:
            parts.append(_WITHOUT_TRACE.format())
        return "".join(parts)

    def _rows(
        self,
        doing: str,
        sql: str,
        parameters: Mapping[str, Any],
        column_formats: dict[str, str | dict[str, str]] | None = None,
    ) -> Sequence[Sequence[Any]]:
        with self.connection.client(doing) as client:
            return client.query(sql, parameters=dict(parameters), column_formats=column_formats).result_rows


def _parameters(scope: Scope) -> dict[str, Any]:
    modes = _MODES if scope.mode is None else (scope.mode,)
    return {
        "team_id": scope.team_id,
        "model_name": scope.model_name,
        "product": c.EMBEDDING_PRODUCT,
        "document_type": c.EMBEDDING_DOCUMENT_TYPE,
        "renderings": [rendering(mode) for mode in modes],
        "start": clickhouse_time(scope.start),
        "end": clickhouse_time(scope.end),
        "batch_run_id": scope.batch_run_id or "",
        "without_trace_id": scope.without_trace_id or "",
    }


def _summary_ref(row: Sequence[Any]) -> SummaryRef:
    document_id, rendering_name, timestamp = row[:3]
    return SummaryRef(document_id, _MODE_OF[rendering_name], timestamp)
