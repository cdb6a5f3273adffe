"""Catch up: run past windows, oldest first, within one amount of money; or queue embeddings that are missing.

Which windows are done is read from `batch_runs` and kept nowhere else: the same command again goes on where it stopped.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Protocol

from adapters.clickhouse_batch_runs import RecordedRun
from embedding.requeue import RequeueResult
from local.errors import LocalStackError
from trace_summarization import constants as c
from trace_summarization.errors import InvalidInput
from trace_summarization.models import BatchSummarizationMetrics, Mode, SkipReason, Window
from trace_summarization.prices import nano_usd, usd
from trace_summarization.timestamps import format_rfc3339

# Traces that were left out for these reasons get their summary when the window is run again.
_LEFT_FOR_LATER = (SkipReason.BUDGET, SkipReason.OUT_OF_TIME)


class InvocationFailed(LocalStackError):
    """Raised by `Target.requeue`: the function ended with an error; `error` is its type."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(f"{error}: {message}")
        self.error = error


@dataclass(frozen=True)
class TeamExecution:
    """How a team's execution ended. `metrics` are those of one that succeeded, else `error` tells why not.

    `ledger_nano_usd`: what a failed one has spent or set aside by the run's ledger, None when that is unknown.
    """

    arn: str
    metrics: BatchSummarizationMetrics | None = None
    error: str = ""
    cause: str = ""
    ledger_nano_usd: int | None = None


class Target(Protocol):
    """The stack that catches up: this machine's, or one in AWS."""

    def allowed_teams(self) -> list[int]:
        """The team allowlist."""

    def recorded(self, team_id: int, mode: Mode, span: Window) -> Sequence[RecordedRun]:
        """The team's recorded runs whose windows reach into the span."""

    def run_team(self, inputs: Mapping[str, Any]) -> TeamExecution:
        """Run the team machine to its end. When interrupted, or unable to follow it, the execution is stopped."""

    def requeue(self, inputs: Mapping[str, Any]) -> RequeueResult:
        """Invoke the function that queues missing embeddings, once. Raises InvocationFailed."""


@dataclass(frozen=True)
class Work:
    """One window of one team."""

    team_id: int
    window: Window

    def as_dict(self) -> dict[str, Any]:
        """For a JSON document."""
        return {
            "team_id": self.team_id,
            "window_start": format_rfc3339(self.window.start),
            "window_end": format_rfc3339(self.window.end),
        }


# --- which windows ---------------------------------------------------------------------------------------------------


def checked_span(start: datetime, end: datetime, now: datetime) -> Window:
    """The span to catch up on. Raises InvalidInput when it is empty or its last traces may not have finished."""
    if start >= end:
        raise InvalidInput(f"--from: {format_rfc3339(start)} is not before --to {format_rfc3339(end)}")
    latest = now - timedelta(minutes=c.DEFAULT_WINDOW_LAG_MINUTES)
    if end > latest:
        raise InvalidInput(
            f"--to: {format_rfc3339(end)} is in the future, or less than {c.DEFAULT_WINDOW_LAG_MINUTES} minutes ago: "
            f"its traces may not have finished; allowed is up to {format_rfc3339(latest)}"
        )
    return Window(start, end)


def windows_of(span: Window, minutes: int) -> list[Window]:
    """Windows of so many minutes from the span's start on; the last one ends with the span."""
    step = timedelta(minutes=minutes)
    count = math.ceil((span.end - span.start) / step)
    return [Window(span.start + n * step, min(span.start + (n + 1) * step, span.end)) for n in range(count)]


def days_of(span: Window) -> list[Window]:
    """The span cut at each midnight UTC: summaries are stored by day, so that each is read once."""
    days = []
    start = span.start.astimezone(UTC)
    while start < span.end:
        midnight = datetime.combine(start.date() + timedelta(days=1), time(), UTC)
        days.append(Window(start, min(midnight, span.end)))
        start = midnight
    return days


def is_finished(run: RecordedRun, retry_failed: bool) -> bool:
    """Whether nothing of a recorded window is left to do. With `retry_failed` traces that failed are."""
    left = sum(run.skipped.get(reason, 0) for reason in _LEFT_FOR_LATER)
    return left == 0 and not (retry_failed and run.failed)


def is_covered(window: Window, finished: Sequence[Window]) -> bool:
    """Whether the finished windows together cover all of this one. They may overlap and need not be of its length."""
    covered_to = window.start
    for other in sorted(finished, key=lambda other: other.start):
        if other.start > covered_to:
            break
        covered_to = max(covered_to, other.end)
    return covered_to >= window.end


@dataclass(frozen=True)
class Plan:
    """What is to do, in order: the oldest windows of all teams first; and how many windows are done already."""

    work: list[Work]
    finished_before: int


def plan(target: Target, teams: Sequence[int], mode: Mode, span: Window, minutes: int, retry_failed: bool) -> Plan:
    """Leave out the windows that finished ones cover."""
    finished = {
        team_id: [run.window for run in target.recorded(team_id, mode, span) if is_finished(run, retry_failed)]
        for team_id in teams
    }
    every = [Work(team_id, window) for window in windows_of(span, minutes) for team_id in teams]
    work = [one for one in every if not is_covered(one.window, finished[one.team_id])]
    return Plan(work, len(every) - len(work))


# --- money -----------------------------------------------------------------------------------------------------------


@dataclass
class Purse:
    """What the whole backfill may spend, in nano-USD; a `cap` of None is none.

    `is_exact`: no cost had to be guessed.
    """

    cap: int | None
    spent: int = 0
    is_exact: bool = True

    @classmethod
    def of_usd(cls, cap: float | None) -> "Purse":
        """A purse of so many USD."""
        return cls(None if cap is None else nano_usd(cap))

    @property
    def left(self) -> int | None:
        """What is left, never less than nothing; None without a cap."""
        return None if self.cap is None else max(0, self.cap - self.spent)

    @property
    def left_usd(self) -> float | None:
        """What is left in USD."""
        return None if self.left is None else float(usd(self.left))

    @property
    def cap_usd(self) -> float | None:
        """The cap in USD."""
        return None if self.cap is None else float(usd(self.cap))

    @property
    def spent_usd(self) -> float:
        """What was spent in USD."""
        return float(usd(self.spent))

    def allowance(self) -> float | None:
        """USD that the next run may spend: all that is left, at most what a run's input takes."""
        return None if self.left_usd is None else min(self.left_usd, float(c.MAX_COST_USD_LIMIT))

    def take(self, cost: int | None, allowed: float | None) -> None:
        """Count what a run has cost; when that is unknown, all that it was allowed."""
        if cost is None:
            self.is_exact = False
            cost = 0 if allowed is None else nano_usd(allowed)
        self.spent += cost


# --- running windows -------------------------------------------------------------------------------------------------


@dataclass
class Totals:
    """What a backfill has come to so far."""

    windows: int
    windows_finished_before: int
    windows_run: int = 0
    windows_unfinished: int = 0
    windows_failed: int = 0
    traces_queried: int = 0
    summaries_generated: int = 0
    summaries_reused: int = 0
    summaries_skipped: int = 0
    summaries_failed: int = 0
    embedding_requests_failed: int = 0

    def add(self, metrics: BatchSummarizationMetrics) -> None:
        """Add a run's counts."""
        for name in (
            "traces_queried",
            "summaries_generated",
            "summaries_reused",
            "summaries_skipped",
            "summaries_failed",
            "embedding_requests_failed",
        ):
            setattr(self, name, getattr(self, name) + getattr(metrics, name))


@dataclass(frozen=True)
class WindowOutcome:
    """How one window went. `left_for_later`: its traces that were skipped for want of money or time."""

    work: Work
    execution: TeamExecution
    left_for_later: int
    cost_is_known: bool


@dataclass
class Backfill:
    """Runs planned windows one after the other. `is_at_cap`: what was left did not suffice for the last window."""

    target: Target
    settings: Mapping[str, Any]
    purse: Purse
    totals: Totals
    is_at_cap: bool = False

    def run(self, work: Sequence[Work]) -> Iterator[WindowOutcome]:
        """Run each window; yield how it went. Stops at the cap. A failed execution does not stop it.

        Raises InvalidInput for settings that every window would fail with.
        """
        for one in work:
            if self.purse.left == 0:
                self.is_at_cap = True
                return
            yield self._run(one)
            if self.is_at_cap:
                return

    def _run(self, one: Work) -> WindowOutcome:
        allowed = self.purse.allowance()
        had_all = self.purse.left_usd == allowed
        money = {} if allowed is None else {"max_cost_usd": allowed}
        execution = self.target.run_team({**self.settings, **one.as_dict(), **money})
        metrics = execution.metrics
        if execution.error == InvalidInput.__name__:
            raise InvalidInput(execution.cause)
        cost = execution.ledger_nano_usd
        if metrics is not None:
            cost = None if metrics.cost_usd is None else nano_usd(metrics.cost_usd)
        self.purse.take(cost, allowed)
        left_for_later = 0
        if metrics is None:
            self.totals.windows_failed += 1
        else:
            self.totals.windows_run += 1
            self.totals.add(metrics)
            left_for_later = sum(metrics.summaries_skipped_by_reason.get(reason, 0) for reason in _LEFT_FOR_LATER)
            self.totals.windows_unfinished += left_for_later > 0
            self.is_at_cap = had_all and metrics.summaries_skipped_by_reason.get(SkipReason.BUDGET, 0) > 0
        return WindowOutcome(one, execution, left_for_later, cost is not None)


# --- embeddings only -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RequeueOutcome:
    """What one invocation for a team and day came to; `error` when it failed or stopped."""

    work: Work
    result: RequeueResult
    error: str = ""


@dataclass
class RequeueTotals:
    """What queueing missing embeddings has come to so far. `days_failed`: those that were not looked through."""

    days: int
    days_done: int = 0
    days_failed: int = 0
    summaries: int = 0
    missing: int = 0
    queued: int = 0
    failed: int = 0
    damaged: int = 0

    def add(self, result: RequeueResult) -> None:
        """Add an invocation's counts."""
        for name in ("summaries", "missing", "queued", "failed", "damaged"):
            setattr(self, name, getattr(self, name) + getattr(result, name))


def requeue_missing(
    target: Target, work: Sequence[Work], settings: Mapping[str, Any], totals: RequeueTotals
) -> Iterator[RequeueOutcome]:
    """Invoke the function for each team and day until it has no `next`; yield each answer.

    An invocation that fails costs its day. Stops when the broker takes nothing: it would take nothing of the others.
    Raises InvalidInput for settings that every invocation would fail with.
    """
    for one in work:
        after: str | None = None
        while True:
            given = {**settings, **one.as_dict(), **({} if after is None else {"after": after})}
            try:
                result = target.requeue(given)
            except InvocationFailed as error:
                if error.error == InvalidInput.__name__:
                    raise InvalidInput(str(error).removeprefix(f"{error.error}: ")) from error
                totals.days_failed += 1
                yield RequeueOutcome(one, RequeueResult(), str(error))
                break
            totals.add(result)
            if result.error is not None:
                totals.days_failed += 1
                yield RequeueOutcome(one, result, result.error)
                return
            after = result.next
            totals.days_done += after is None
            yield RequeueOutcome(one, result)
            if after is None:
                break
