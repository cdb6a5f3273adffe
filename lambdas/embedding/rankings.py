"""Where search looks, what each way of looking finds, and how both become one ranking."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Protocol

from embedding.needles import Needle
from embedding.ports import Vector
from trace_summarization.models import Mode

_RANK_OFFSET: Final = 60  # of reciprocal rank fusion, as its authors chose it


@dataclass(frozen=True)
class Scope:
    """The documents that a search ranks: a team's summaries with one model's vectors, of traces within a span of time.

    `start <= timestamp < end`, always given. None of `mode`, `batch_run_id`, `without_trace_id`: not filtered by it.
    """

    team_id: int
    model_name: str
    start: datetime
    end: datetime
    mode: Mode | None = None
    batch_run_id: str | None = None
    without_trace_id: str | None = None


@dataclass(frozen=True)
class TraceDay:
    """A trace: its id, and the UTC day it began, since an id that comes again on another day is another trace."""

    trace_id: str
    day: date


@dataclass(frozen=True)
class SummaryRef:
    """The summary of a trace in one mode."""

    trace_id: str
    mode: Mode
    timestamp: datetime

    @property
    def trace(self) -> TraceDay:
        """The trace that is summarized."""
        return TraceDay(self.trace_id, self.timestamp.astimezone(UTC).date())


@dataclass(frozen=True)
class NearDocument:
    """A document near a vector. `similarity`: cosine, -1 to 1."""

    document: SummaryRef
    similarity: float


@dataclass(frozen=True)
class WordedDocument:
    """A document in which words were found. `found`: places in the list of what was looked for."""

    document: SummaryRef
    score: float
    found: tuple[int, ...]


class RankingStore(Protocol):
    """Ranks documents. Of each document its newest version counts, and of a trace the better of its modes.

    Both rankings are in order, the best first; equally good ones by trace id, so that the same data gives the same
    order. Errors: the `ClickHouse*` classes.
    """

    def nearest(self, scope: Scope, vector: Vector, limit: int) -> Sequence[NearDocument]:
        """The documents whose vectors point most nearly where `vector` does."""

    def with_words(self, scope: Scope, needles: Sequence[Needle], limit: int) -> Sequence[WordedDocument]:
        """The documents that hold at least one needle, by what they hold and how rare that is in the scope."""


@dataclass(frozen=True)
class Ranked:
    """A trace's place in the whole ranking. Ranks count from 1; None: not found that way, or not looked for so."""

    document: SummaryRef
    score: float
    near: NearDocument | None
    near_rank: int | None
    worded: WordedDocument | None
    words_rank: int | None


def fused(near: Sequence[NearDocument], worded: Sequence[WordedDocument]) -> list[Ranked]:
    """Both rankings as one; with one of them empty, the other with its own order.

    Reciprocal rank fusion: the sum over both rankings of 1 / (60 + rank) (Cormack, Clarke, Buettcher, "Reciprocal Rank
    Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009). It needs no common scale of the
    two kinds of score. Of a trace found in two modes, the summary with the better rank is the one to show.
    """
    by_meaning = {hit.document.trace: (rank, hit) for rank, hit in enumerate(near, 1)}
    by_words = {hit.document.trace: (rank, hit) for rank, hit in enumerate(worded, 1)}
    ranking = []
    for trace in by_meaning.keys() | by_words.keys():
        near_rank, near_hit = by_meaning.get(trace, (None, None))
        words_rank, worded_hit = by_words.get(trace, (None, None))
        hits = [(rank, hit) for rank, hit in ((near_rank, near_hit), (words_rank, worded_hit)) if rank and hit]
        _, shown = min(hits, key=lambda place: place[0])
        score = sum(1 / (_RANK_OFFSET + rank) for rank, _ in hits)
        ranking.append(Ranked(shown.document, score, near_hit, near_rank, worded_hit, words_rank))
    return sorted(ranking, key=lambda ranked: (-ranked.score, ranked.document.trace_id, ranked.document.timestamp))
