"""Search of a team's trace summaries: by meaning, by words, or by both."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from embedding.cursors import MAX_CURSOR_LENGTH, cursor_at, fingerprint, position_of
from embedding.models import EmbeddingModelName
from embedding.needles import Needle, ids_of, needles_of
from embedding.ports import EmbeddingModel, Vector
from embedding.rankings import Hit, Method, RankingStore, Scope, SummaryRef
from embedding.tokens import cut_to_window
from trace_summarization import constants as c
from trace_summarization.errors import InvalidConfiguration, InvalidInput, InvalidModelOutput
from trace_summarization.events import summary_of
from trace_summarization.inputs import parse_inputs
from trace_summarization.models import Mode, StoredSummary, SummaryItem, TeamId
from trace_summarization.timestamps import UtcSeconds, format_microseconds, format_rfc3339
from trace_summarization.visible_text import visible

MAX_TEXT_LENGTH: Final = 2_000  # characters
DEFAULT_LIMIT: Final = 10
MAX_LIMIT: Final = 100
# Ranked for every page alike: the place of a result does not depend on which page is asked for.
MAX_RESULTS: Final = 500
# What ClickHouse's DateTime64 holds with microseconds.
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2299, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SearchFilters(_Checked):
    """Which summaries are looked at at all."""

    mode: Mode | None = Field(None, description="Only summaries of this mode.")
    batch_run_id: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Only summaries that this batch run made."
    )


class SearchRequest(_Checked):
    """What to look for, and where.

    Raises InvalidInput for what only several fields together show; a single field's fault is a ValidationError, which
    `parse_search_request` turns into InvalidInput.
    """

    team_id: TeamId = Field(description="Whose summaries.")
    # Without pydantic's own check of the length, which would count blanks around as well.
    text: Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": MAX_TEXT_LENGTH})] | None = Field(
        None, description="What to look for, in plain words or exact names; at least one character has to be visible."
    )
    trace_id: Annotated[str, Field(min_length=1, max_length=c.MAX_TRACE_ID_LENGTH)] | None = Field(
        None, description="Instead of `text`: find traces like this one."
    )
    window_start: UtcSeconds | None = Field(
        None, description="Only traces that begin at or after this time; with `window_end`."
    )
    window_end: UtcSeconds | None = Field(None, description="Only traces that begin before this time.")
    filters: SearchFilters = Field(SearchFilters(), description="Which summaries are looked at at all.")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Results per page.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before, with everything else unchanged.")
    method: Method = Field("hybrid", description="How results are ranked: by meaning (vector), by words, or by both.")
    model: str | None = Field(
        None, description="Embedding model by whose vectors to rank, with its dimension. Default: the first configured."
    )

    @field_validator("text")
    @classmethod
    def _sayable(cls, text: str | None) -> str | None:
        if text is None:
            return None
        # Long ones first: nothing else looks at 100 kB.
        if len(text.strip()) <= MAX_TEXT_LENGTH and (shown := visible(text).strip()):
            return shown
        raise ValueError(f"is not allowed; allowed are 1 to {MAX_TEXT_LENGTH} characters, at least one of them visible")

    @field_validator("cursor")
    @classmethod
    def _short(cls, cursor: str | None) -> str | None:
        if cursor is not None and len(cursor) > MAX_CURSOR_LENGTH:
            raise ValueError("is none; allowed is the next_cursor of the same search, unchanged")
        return cursor

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.text is None) == (self.trace_id is None):
            raise InvalidInput("text, trace_id: give exactly one of them")
        if (self.window_start is None) != (self.window_end is None):
            given, missing = ("window_start", "window_end") if self.window_start else ("window_end", "window_start")
            raise InvalidInput(f"{missing}: required when {given} is given; give both or neither")
        if self.window_start and self.window_end and self.window_start >= self.window_end:
            raise InvalidInput(
                f"window_start: {format_rfc3339(self.window_start)} is not before window_end "
                f"{format_rfc3339(self.window_end)}; it must be earlier"
            )
        if self.trace_id is not None and self.method == "words":
            raise InvalidInput('method: "words" needs text; with trace_id, hybrid and vector are allowed')
        return self


def parse_search_request(raw: object) -> SearchRequest:
    """The request that a JSON object is. Raises InvalidInput naming every field that is wrong."""
    return parse_inputs(SearchRequest, raw)


@dataclass(frozen=True)
class Why:
    """Why a summary is among the results. Ranks count from 1, among all results of the search.

    `similarity`, `meaning_rank` are None when nothing was compared by meaning. `words` and `phrases` are those of the
    text that were found, `coverage` the share that they make up (`Hit`); all None when none were looked for
    (`vector`, a trace id, a text without a letter or digit). `words_rank` is None also when none was found.
    `trace_id`: whether the text holds the trace's id.
    """

    similarity: float | None
    meaning_rank: int | None
    words: tuple[str, ...] | None
    phrases: tuple[str, ...] | None
    coverage: float | None
    words_rank: int | None
    trace_id: bool


@dataclass(frozen=True)
class SearchResult:
    """One summary. `score` orders the results of one search and means nothing beyond it. `timestamp`: the trace's."""

    trace_id: str
    mode: Mode
    title: str
    bullets: tuple[SummaryItem, ...]
    score: float
    timestamp: datetime
    summarized_at: datetime | None
    batch_run_id: str
    matched: Why


@dataclass(frozen=True)
class SearchPage:
    """Results in order. `summaries_gone`: found, but not stored any more, so left out. `notes`: what else to know."""

    results: tuple[SearchResult, ...]
    next_cursor: str | None
    model: str
    method: Method
    summaries_gone: int
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The page as JSON takes it; times in RFC 3339."""
        return {
            "results": [_result_dict(result) for result in self.results],
            "next_cursor": self.next_cursor,
            "model": self.model,
            "method": self.method,
            "summaries_gone": self.summaries_gone,
            "notes": list(self.notes),
        }


class SearchStore(RankingStore, Protocol):
    """What search reads. Errors: the `ClickHouse*` classes."""

    def vector_of(self, team_id: int, model_name: str, trace_id: str, mode: Mode | None) -> Vector | None:
        """The newest vector of a trace's summary: of this mode, else the detailed one's, else any; None without one."""

    def summaries(self, team_id: int, wanted: Sequence[SummaryRef]) -> Mapping[SummaryRef, StoredSummary]:
        """The stored summaries of those that still have one."""


@dataclass(frozen=True)
class QueryModel:
    """What embeds a query.

    `names`: the models that can be asked for, the first by default. `open` is called when a text has to be embedded,
    never otherwise. `max_input_tokens`: the models' window. `seconds_left`: see `EmbeddingModel`.
    """

    names: Sequence[str]
    open: Callable[[], EmbeddingModel]
    seconds_left: Callable[[], float]
    max_input_tokens: int = c.MAX_EMBEDDING_INPUT_TOKENS

    def vector(self, name: EmbeddingModelName, text: str) -> Vector:
        """The text's vector. Raises the `Model*` errors, and InvalidModelOutput when it is no vector of the model's."""
        [vector] = self.open().embed(name, [text], self.seconds_left).vectors
        if not name.made(vector):
            raise InvalidModelOutput(f"{name} answered with no vector of {name.dimensions} finite numbers")
        return vector


def search(request: SearchRequest, store: SearchStore, model: QueryModel) -> SearchPage:
    """One page of the team's summaries that match, the best first.

    Raises InvalidInput (a model that is not configured, a cursor of another search, a trace without a vector, method
    `words` for a text without a word), the `Model*` errors unless the text is looked for by words alone, and the
    `ClickHouse*` errors.
    """
    name = _model_name(request, model.names)
    asked = _fingerprint(request, name)
    position = 0 if request.cursor is None else position_of(request.cursor, asked)
    notes: list[str] = []
    needles = _needles(request, notes)
    scope = Scope(
        team_id=request.team_id,
        model_name=str(name),
        start=max(request.window_start or _EARLIEST, _EARLIEST),
        end=min(request.window_end or _LATEST, _LATEST),
        mode=request.filters.mode,
        batch_run_id=request.filters.batch_run_id,
        without_trace_id=request.trace_id,
    )
    vector = None if request.method == "words" else _vector(request, name, store, model, notes)
    method: Method = "vector" if vector is not None and not needles else request.method
    trace_ids = ids_of(request.text, c.MAX_TRACE_ID_LENGTH) if request.text and needles else ()
    hits = store.ranked(scope, method, vector, needles, trace_ids, MAX_RESULTS)
    if method == "hybrid" and hits and not any(hit.found or hit.is_asked_for for hit in hits):
        notes.append("none of these words is in the summaries found: ranked by meaning alone")
    results, end, gone = _page(request, store, _ranking(hits, needles), position)
    if gone:
        notes.append(f"{gone} found, but not stored any more: left out")
    return SearchPage(
        results=tuple(results),
        next_cursor=cursor_at(end, asked) if end < len(hits) else None,
        model=str(name),
        method=method,
        summaries_gone=gone,
        notes=tuple(notes),
    )


def _model_name(request: SearchRequest, configured: Sequence[str]) -> EmbeddingModelName:
    name = configured[0] if request.model is None else request.model
    if name not in configured:
        raise InvalidInput(f"model: {json.dumps(name[:80])} is not configured; allowed is {' | '.join(configured)}")
    try:
        return EmbeddingModelName.parse(name)
    except ValueError as error:
        raise InvalidConfiguration(f"embedding model {name!r} {error}") from error


def _fingerprint(request: SearchRequest, name: EmbeddingModelName) -> str:
    return fingerprint(request.model_dump(mode="json", exclude={"cursor", "limit", "model"}), str(name))


def _needles(request: SearchRequest, notes: list[str]) -> tuple[Needle, ...]:
    if request.text is None or request.method == "vector":
        return ()
    needles = needles_of(request.text)
    if not needles and request.method == "words":
        raise InvalidInput(
            f"text: {json.dumps(request.text[:80])} holds no word; "
            "with method words, a text with at least one letter or digit is allowed"
        )
    if not needles:
        notes.append("the text holds no word: ranked by meaning alone")
    return needles


def _vector(
    request: SearchRequest, name: EmbeddingModelName, store: SearchStore, model: QueryModel, notes: list[str]
) -> Vector:
    if request.text is not None:
        cut = cut_to_window(request.text, name.model, model.max_input_tokens)
        if cut.is_cut:
            notes.append(f"the text is longer than what {name} reads: by meaning, only its beginning was looked for")
        return model.vector(name, cut.text)
    trace_id = request.trace_id or ""
    vector = store.vector_of(request.team_id, str(name), trace_id, request.filters.mode)
    if vector is None:
        raise InvalidInput(
            f"trace_id: team {request.team_id} has no summary of trace {json.dumps(trace_id)} with a vector of {name}; "
            "allowed is a trace that was summarized and embedded"
        )
    return vector


def _ranking(hits: Sequence[Hit], needles: Sequence[Needle]) -> list[tuple[Hit, Why]]:
    by_meaning = _ranks([hit for hit in hits if hit.similarity is not None], key=lambda hit: hit.similarity or 0.0)
    by_words = _ranks([hit for hit in hits if hit.found], key=lambda hit: hit.words_score)
    ranking = []
    for hit in hits:
        found = [needles[place] for place in hit.found]
        why = Why(
            similarity=hit.similarity,
            meaning_rank=by_meaning.get(hit.summary),
            words=tuple(needle.text for needle in found if not needle.is_phrase) if needles else None,
            phrases=tuple(needle.text for needle in found if needle.is_phrase) if needles else None,
            coverage=hit.coverage if needles else None,
            words_rank=by_words.get(hit.summary),
            trace_id=hit.is_asked_for,
        )
        ranking.append((hit, why))
    return ranking


def _ranks(hits: Sequence[Hit], key: Callable[[Hit], float]) -> dict[SummaryRef, int]:
    """Places by a number, the largest first; equal ones as they stand."""
    return {hit.summary: place for place, hit in enumerate(sorted(hits, key=key, reverse=True), 1)}


def _page(
    request: SearchRequest, store: SearchStore, ranking: Sequence[tuple[Hit, Why]], position: int
) -> tuple[list[SearchResult], int, int]:
    """Results from `position` on, the position after the last one looked at, and how many summaries are gone."""
    results: list[SearchResult] = []
    gone, size = 0, request.limit
    while position < len(ranking) and len(results) < request.limit:
        chunk = ranking[position : position + size]
        stored = store.summaries(request.team_id, [hit.summary for hit, _ in chunk])
        for hit, why in chunk:
            position += 1
            result = _result(hit, why, stored.get(hit.summary))
            if result is None:
                gone += 1
                continue
            results.append(result)
            if len(results) == request.limit:
                break
        size *= 2  # where many are gone, they are passed in a few queries
    return results, position, gone


def _result(hit: Hit, why: Why, stored: StoredSummary | None) -> SearchResult | None:
    """None for a summary that is gone, or damaged so that nothing of it can be shown."""
    try:
        summary = summary_of(stored.properties) if stored else None
    except (KeyError, TypeError, ValueError, RecursionError):
        summary = None
    if stored is None or summary is None:
        return None
    return SearchResult(
        trace_id=hit.summary.trace_id,
        mode=hit.summary.mode,
        title=summary.title,
        bullets=summary.bullets,
        score=hit.score,
        timestamp=stored.timestamp,
        summarized_at=_summarized_at(stored),
        batch_run_id=str(stored.properties.get("$ai_batch_run_id", "")),
        matched=why,
    )


def _summarized_at(stored: StoredSummary) -> datetime | None:
    try:
        return datetime.fromisoformat(stored.properties["$ai_summarized_at"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _result_dict(result: SearchResult) -> dict[str, Any]:
    return {
        "trace_id": result.trace_id,
        "mode": result.mode,
        "title": result.title,
        "bullets": [item.as_dict() for item in result.bullets],
        "score": result.score,
        "timestamp": format_microseconds(result.timestamp),
        "summarized_at": format_microseconds(result.summarized_at) if result.summarized_at else None,
        "batch_run_id": result.batch_run_id,
        "matched": asdict(result.matched),
    }
