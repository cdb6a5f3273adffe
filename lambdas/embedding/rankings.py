"""Where search looks, and what it finds there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, Protocol

from embedding.needles import Needle
from embedding.ports import Vector
from trace_summarization.models import Mode

Method = Literal["hybrid", "vector", "words"]


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
class SummaryRef:
    """The summary of a trace in one mode. `timestamp` is the trace's."""

    trace_id: str
    mode: Mode
    timestamp: datetime

    @property
    def day(self) -> date:
        """The UTC day on which the trace began: an id that comes again on another day is another trace."""
        return self.timestamp.astimezone(UTC).date()


@dataclass(frozen=True)
class Hit:
    """A summary with what its place comes from.

    `similarity`: cosine of the angle to what was asked for, -1 to 1; None when nothing was compared. `coverage`: the
    share that is there of what was looked for word by word and stands in any summary of the scope, 0 to 1, rare words
    counting more. `words_score`: BM25 of
    presence. `found`: places in the list of what was looked for. `is_asked_for`: its trace's id is one of
    those looked for.
    """

    summary: SummaryRef
    score: float
    similarity: float | None
    coverage: float
    words_score: float
    found: tuple[int, ...]
    is_asked_for: bool = False


class RankingStore(Protocol):
    """Ranks summaries."""

    def ranked(
        self,
        scope: Scope,
        method: Method,
        vector: Vector | None,
        needles: Sequence[Needle],
        trace_ids: Sequence[str],
        limit: int,
    ) -> Sequence[Hit]:
        """The scope's summaries by their score, the best first; equal ones by trace id, so that it is always the same.

        The score is the similarity (`vector`), the words' score of those that hold a word (`words`), or of both kinds
        (`hybrid`) how many standard deviations the similarity is above the scope's mean, from -3 to 6, plus 9 times the
        coverage.
        Summaries of `trace_ids` come before all others: their score is greater by 100,000.
        Of each summary its newest version counts, and of a trace in several modes the better one.

        `vector` is None for `words`; `needles` and `trace_ids` are empty for `vector`. Errors: the
        `ClickHouse*` classes.
        """
