"""Ranks a team's summaries by their vectors and by their words, and reads the ones to show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from adapters.clickhouse_client import ClickHouseConnection, clickhouse_time, connection_of_secret
from adapters.clickhouse_properties import parse_properties
from adapters.settings import ClickHouseSettings
from embedding.needles import Needle
from embedding.ports import Vector
from embedding.rankings import Hit, Method, Scope, SummaryRef
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

# In millionths, -2 where it is not a number: of a vector of zeros.
_SIMILARITY: Final = "toInt64(ifNotFinite(round(1000000 * (1 - cosineDistance(embedding, vector))), -2000000))"
_NO_SIMILARITY: Final = "toInt64(0)"
# A vector of another length would end the query.
_WITH_VECTOR: Final = "    AND length(embedding) = length(vector)\n"
_HOLDS_SOMETHING: Final = "WHERE has(found, 1) OR is_asked_for"

# `hybrid` adds scores on scales that depend on neither the model nor the number of documents: how far a summary stands
# out by meaning, and how much of what was looked for it holds. A paraphrase covers little, so that meaning decides; an
# id, a name or a pasted error is covered wholly where it stands. One among n that are alike stands out by up to
# sqrt(n - 1), whatever it says: between the bounds lie 9, so that what holds no word never beats what holds them all.
# Found on queries with known answers: `python -m bench search`.
_SCORES: Final[Mapping[Method, str]] = {
    "vector": "similarity",
    "words": "words_score",
    "hybrid": "least(greatest(standing_out, -3), 6) + 9 * coverage",
}

# Worth of a needle: its weight times its rarity in the scope, as in BM25 (Robertson, Zaragoza, "The Probabilistic
# Relevance Framework: BM25 and Beyond", 2009). Each needle counts once; k1 = 1.2; b = 0.3, since all documents are
# summaries and a long one is not about more. One `position` per needle takes a third of the time of
# `multiSearchAllPositions` over all of them. What no summary holds tells none from another, and is worth nothing: by
# its rarity it would be worth the most, and an id within a sentence would cover next to nothing.
# Mean and deviation come from whole numbers, and scores are rounded: floats that are added in another order by each
# query would now and then swap neighbours between two pages.
_WHOLE: Final = """
        SELECT
            avg(size) AS usual_size,
            arrayMap(
                (holding, weight) -> (holding > 0) * weight * log(1 + (count() - holding + 0.5) / (holding + 0.5)),
                arrayResize(sumForEach(found), length({{weights:Array(Float64)}})), -- empty where the scope is
                {{weights:Array(Float64)}}
            ) AS worths,
            sum(toInt128(millionths)) AS total,
            toFloat64(total) / count() AS mean,
            sqrt(toFloat64(toInt128(count()) * sum(toInt128(millionths) * millionths) - total * total)) / count()
                AS deviation
        FROM scope
    """
# Similarity alone needs nothing of the other documents: half of the reading.
_WHOLE_UNUSED: Final = "SELECT 1 AS usual_size, CAST([], 'Array(Float64)') AS worths, 0 AS mean, 0 AS deviation"

# A trace has at most one document per mode, so that twice as many documents hold enough traces.
_RANKED_SQL: Final = """
WITH
    arrayConcat({{vector:Array(Float32)}}, {{further:Array(Float32)}}) AS vector,
    scope AS (
        SELECT
            document_id,
            rendering,
            timestamp,
            {similarity} AS millionths,
            CAST([{found}], 'Array(UInt8)') AS found,
            {size} AS size,
            has({{trace_ids:Array(String)}}, document_id) AS is_asked_for
        {from_scope}
    ),
    whole AS ({whole})
SELECT
    document_id,
    rendering,
    timestamp,
    score,
    similarity,
    coverage,
    words_score,
    arrayFilter((place, is_held) -> is_held, arrayEnumerate(found), found),
    is_asked_for
FROM (
    SELECT
        document_id,
        rendering,
        timestamp,
        millionths / 1000000 AS similarity,
        found,
        is_asked_for,
        arraySum((is_held, worth) -> is_held * worth, found, worths) AS held,
        if(held > 0, round(held / arraySum(worths), 6), 0) AS coverage,
        round(held * 2.2 / (1 + 1.2 * (0.7 + 0.3 * size / usual_size)), 6) AS words_score,
        if(deviation > 0, (millionths - mean) / deviation, 0) AS standing_out,
        round({score}, 6) + 100000 * is_asked_for AS score
    FROM scope CROSS JOIN whole
    {condition}
    ORDER BY score DESC, words_score DESC, document_id, timestamp, rendering
    LIMIT 2 * {{limit:UInt32}}
)
WHERE similarity >= -1
ORDER BY score DESC, words_score DESC, document_id, timestamp, rendering
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
    seconds_left: Callable[[], float] = lambda: c.CLICKHOUSE_MAX_EXECUTION_SECONDS  # no query gets more

    @classmethod
    def from_settings(cls, settings: ClickHouseSettings, seconds_left: Callable[[], float]) -> Self:
        """The store that the settings describe; it connects on first use."""
        connection = connection_of_secret(settings.clickhouse_secret_arn)
        return cls(connection, settings.clickhouse_database, settings.clickhouse_events_table, seconds_left)

    def ranked(
        self,
        scope: Scope,
        method: Method,
        vector: Vector | None,
        needles: Sequence[Needle],
        trace_ids: Sequence[str],
        limit: int,
    ) -> Sequence[Hit]:
        """The scope's summaries by their score, the best first. See `RankingStore.ranked`."""
        # More digits than a Float32 has would only fill the request.
        numbers = [float(f"{number:.7g}") for number in vector or ()]
        sql = _RANKED_SQL.format(
            similarity=_NO_SIMILARITY if vector is None else _SIMILARITY,
            found=", ".join(_is_found(place, needle) for place, needle in enumerate(needles)),
            from_scope=self._from(scope) + ("" if vector is None else _WITH_VECTOR),
            size="length(words)" if needles else "1",
            whole=_WHOLE_UNUSED if method == "vector" else _WHOLE.format(),
            score=_SCORES[method],
            condition=_HOLDS_SOMETHING if method == "words" else "",
        )
        parameters = {
            **_parameters(scope),
            **{
                f"needle_{place}_{number}": f" {' '.join(words)} "
                for place, needle in enumerate(needles)
                for number, words in enumerate(needle.forms)
            },
            "vector": numbers[:_NUMBERS_PER_PARAMETER],
            "further": numbers[_NUMBERS_PER_PARAMETER:],
            "weights": [needle.weight for needle in needles],
            "trace_ids": list(trace_ids),
            "limit": limit,
        }
        return [
            Hit(
                SummaryRef(document_id, _MODE_OF[rendering_name], timestamp),
                score,
                None if vector is None else similarity,
                coverage,
                words_score,
                tuple(place - 1 for place in places),
                bool(is_asked_for),
            )
            for (
                document_id,
                rendering_name,
                timestamp,
                score,
                similarity,
                coverage,
                words_score,
                places,
                is_asked_for,
            ) in self._rows("ranking summaries", sql, parameters)
        ]

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
        by_event = {(summary_event_id(team_id, ref.trace_id, ref.mode), ref.day): ref for ref in wanted}
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
            seconds = max(1, min(c.CLICKHOUSE_MAX_EXECUTION_SECONDS, int(self.seconds_left())))  # 0 would be no limit
            return client.query(
                sql,
                parameters=dict(parameters),
                settings={"max_execution_time": seconds},
                column_formats=column_formats,
            ).result_rows


def _is_found(place: int, needle: Needle) -> str:
    return " OR ".join(
        f"position(words, {{needle_{place}_{number}:String}}) > 0" for number in range(len(needle.forms))
    )


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
