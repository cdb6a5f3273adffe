"""Catching up: which windows, in which order, with what money, and when it stops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.clickhouse_batch_runs import RecordedRun
from embedding.requeue import RequeueResult
from local.backfill import (
    Backfill,
    InvocationFailed,
    Purse,
    RequeueTotals,
    TeamExecution,
    Totals,
    Work,
    checked_span,
    days_of,
    is_covered,
    is_finished,
    plan,
    requeue_missing,
    windows_of,
)
from trace_summarization.errors import InvalidInput
from trace_summarization.models import BatchSummarizationMetrics, Mode, SkipReason, Window
from trace_summarization.prices import nano_usd

MIDNIGHT = datetime(2025, 1, 15, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return MIDNIGHT + timedelta(minutes=minutes)


def span(start: float, end: float) -> Window:
    return Window(at(start), at(end))


@dataclass
class Recorder:
    """A target that answers from lists and remembers what it was asked."""

    runs: Mapping[int, Sequence[RecordedRun]] = field(default_factory=dict)
    executions: list[TeamExecution] = field(default_factory=list)
    answers: list[RequeueResult | InvocationFailed] = field(default_factory=list)
    asked: list[Mapping[str, Any]] = field(default_factory=list)

    def allowed_teams(self) -> list[int]:
        return [1, 2]

    def recorded(self, team_id: int, mode: Mode, span: Window) -> Sequence[RecordedRun]:
        del mode, span
        return self.runs.get(team_id, [])

    def run_team(self, inputs: Mapping[str, Any]) -> TeamExecution:
        self.asked.append(inputs)
        return self.executions.pop(0)

    def requeue(self, inputs: Mapping[str, Any]) -> RequeueResult:
        self.asked.append(inputs)
        answer = self.answers.pop(0)
        if isinstance(answer, InvocationFailed):
            raise answer
        return answer


# --- which windows ---------------------------------------------------------------------------------------------------

lengths = st.integers(1, 1_440)


@given(start=st.integers(0, 5_000), length=st.integers(1, 10_000), minutes=lengths)
def test_windows_follow_each_other_without_a_gap_and_only_the_last_may_be_shorter(
    start: int, length: int, minutes: int
) -> None:
    windows = windows_of(span(start, start + length), minutes)
    assert (windows[0].start, windows[-1].end) == (at(start), at(start + length))
    assert all(one.end == next_one.start for one, next_one in pairwise(windows))
    sizes = [window.end - window.start for window in windows]
    assert set(sizes[:-1]) <= {timedelta(minutes=minutes)}
    assert timedelta(0) < sizes[-1] <= timedelta(minutes=minutes)


@given(start=st.integers(0, 5_000), length=st.integers(1, 10_000))
def test_days_follow_each_other_without_a_gap_and_none_holds_midnight_inside(start: int, length: int) -> None:
    days = days_of(span(start, start + length))
    assert (days[0].start, days[-1].end) == (at(start), at(start + length))
    assert all(one.end == next_one.start for one, next_one in pairwise(days))
    assert all(day.start.date() == (day.end - timedelta(microseconds=1)).date() for day in days)


small_windows = st.tuples(st.integers(0, 40), st.integers(1, 15)).map(lambda pair: span(pair[0], pair[0] + pair[1]))


@given(window=small_windows, finished=st.lists(small_windows, max_size=8))
def test_a_window_is_covered_when_each_of_its_minutes_is_in_a_finished_one(
    window: Window, finished: list[Window]
) -> None:
    minutes = [at(n) for n in range(60) if window.start <= at(n) < window.end]
    each = all(any(other.start <= minute < other.end for other in finished) for minute in minutes)
    assert is_covered(window, finished) is each


@pytest.mark.parametrize(
    ("skipped", "failed", "retry_failed", "finished"),
    [
        ({}, 0, False, True),
        ({"text_too_long": 3, "trace_not_found": 1}, 0, True, True),
        ({"budget": 1}, 0, False, False),
        ({"out_of_time": 1}, 0, False, False),
        ({}, 2, False, True),
        ({}, 2, True, False),
    ],
)
def test_a_run_is_finished_unless_money_or_time_ran_out_or_failures_are_to_be_tried_again(
    skipped: dict[str, int], failed: int, retry_failed: bool, finished: bool
) -> None:
    assert is_finished(RecordedRun(span(0, 60), skipped, failed), retry_failed) is finished


def test_the_oldest_windows_of_all_teams_come_first_and_covered_ones_are_left_out() -> None:
    target = Recorder(
        runs={
            # Scheduled runs need not keep to the grid: together these two cover the second hour.
            2: [RecordedRun(span(50, 100), {}, 0), RecordedRun(span(100, 130), {}, 0)],
            1: [RecordedRun(span(0, 60), {"budget": 3}, 0), RecordedRun(span(120, 180), {}, 0)],
        }
    )
    planned = plan(target, [2, 1], "detailed", span(0, 180), 60, retry_failed=False)
    assert planned.work == [
        Work(2, span(0, 60)),
        Work(1, span(0, 60)),
        Work(1, span(60, 120)),
        Work(2, span(120, 180)),
    ]
    assert planned.finished_before == 2


def test_a_span_whose_traces_may_not_have_finished_is_refused() -> None:
    now = at(600)
    assert checked_span(at(0), at(590), now) == span(0, 590)
    with pytest.raises(InvalidInput, match="^--to: .* allowed is up to 2025-01-15T09:50:00Z"):
        checked_span(at(0), at(590) + timedelta(seconds=1), now)
    with pytest.raises(InvalidInput, match="^--from: .* is not before --to"):
        checked_span(at(10), at(10), now)


# --- money -----------------------------------------------------------------------------------------------------------


@given(cap=st.integers(1, 10**15), costs=st.lists(st.integers(0, 10**13), max_size=30))
def test_what_runs_are_allowed_never_passes_what_is_left_to_the_last_nano_usd(cap: int, costs: list[int]) -> None:
    purse = Purse(cap)
    spent = 0
    for wanted in costs:
        allowed = purse.allowance()
        assert allowed is not None
        assert nano_usd(allowed) <= max(0, cap - spent)
        cost = min(wanted, nano_usd(allowed))
        spent += cost
        purse.take(cost, allowed)
    assert purse.spent == spent <= cap
    assert purse.left == cap - spent


def test_a_run_is_allowed_no_more_than_its_input_takes() -> None:
    assert Purse.of_usd(250_000.0).allowance() == 10_000


def test_an_unknown_cost_counts_as_all_that_was_allowed() -> None:
    purse = Purse.of_usd(2.0)
    purse.take(None, 0.75)
    assert (purse.left_usd, purse.is_exact) == (1.25, False)


def test_without_a_cap_no_run_gets_one() -> None:
    purse = Purse.of_usd(None)
    purse.take(nano_usd(3.5), None)
    assert (purse.allowance(), purse.left_usd, purse.spent_usd, purse.is_exact) == (None, None, 3.5, True)


# --- running ---------------------------------------------------------------------------------------------------------

WORK = [Work(1, span(60 * hour, 60 * hour + 60)) for hour in range(4)]


def succeeded(cost: float | None, **metrics: Any) -> TeamExecution:
    return TeamExecution("arn", BatchSummarizationMetrics(cost_usd=cost, **metrics))


def over(executions: list[TeamExecution], cap: float | None, **settings: Any) -> tuple[Backfill, Recorder]:
    target = Recorder(executions=executions)
    return Backfill(target, settings, Purse.of_usd(cap), Totals(len(WORK), 0)), target


def test_each_run_gets_its_window_the_settings_and_what_is_left_of_the_money() -> None:
    running, target = over([succeeded(0.25), succeeded(0.5), succeeded(None), succeeded(0.0)], 1.0, mode="minimal")
    outcomes = list(running.run(WORK[:3]))
    assert target.asked[0] == {
        "team_id": 1,
        "window_start": "2025-01-15T00:00:00Z",
        "window_end": "2025-01-15T01:00:00Z",
        "mode": "minimal",
        "max_cost_usd": 1.0,
    }
    assert [asked["max_cost_usd"] for asked in target.asked] == [1.0, 0.75, 0.25]
    assert [outcome.cost_is_known for outcome in outcomes] == [True, True, False]
    assert running.purse.left == 0


def test_it_stops_where_what_is_left_did_not_suffice() -> None:
    cut = succeeded(0.9, traces_queried=5, summaries_skipped=2, summaries_skipped_by_reason={SkipReason.BUDGET: 2})
    running, target = over([succeeded(0.05), cut], 1.0)
    assert [outcome.left_for_later for outcome in running.run(WORK)] == [0, 2]
    assert (running.is_at_cap, running.totals.windows_unfinished) == (True, 1)
    assert len(target.asked) == 2


def test_it_starts_nothing_once_all_is_spent() -> None:
    running, target = over([succeeded(1.0)], 1.0)
    assert len(list(running.run(WORK))) == 1
    assert running.is_at_cap
    assert len(target.asked) == 1


def test_using_up_the_money_with_the_last_window_is_no_stop() -> None:
    running, _ = over([succeeded(1.0)], 1.0)
    list(running.run(WORK[:1]))
    assert not running.is_at_cap


def test_a_run_that_met_the_most_that_an_input_takes_does_not_stop_a_richer_backfill() -> None:
    cut = succeeded(10_000.0, summaries_skipped=1, summaries_skipped_by_reason={SkipReason.BUDGET: 1})
    running, _ = over([cut, succeeded(1.0)], 20_000.0)
    assert len(list(running.run(WORK[:2]))) == 2
    assert not running.is_at_cap


def test_a_failed_execution_is_counted_with_what_its_ledger_holds_and_the_next_goes_on() -> None:
    failed = TeamExecution("arn", error="ClickHouseUnavailable", cause="refused", ledger_nano_usd=nano_usd(0.125))
    running, target = over([failed, succeeded(0.5, traces_queried=7, summaries_generated=7)], 1.0)
    outcomes = list(running.run(WORK[:2]))
    assert [outcome.execution.error for outcome in outcomes] == ["ClickHouseUnavailable", ""]
    assert [asked["max_cost_usd"] for asked in target.asked] == [1.0, 0.875]
    assert (running.totals.windows_failed, running.totals.windows_run, running.totals.traces_queried) == (1, 1, 7)


def test_settings_that_no_window_can_run_with_end_it_at_the_first() -> None:
    running, target = over([TeamExecution("arn", error="InvalidInput", cause="max_cost_usd: no price")], 1.0)
    with pytest.raises(InvalidInput, match="no price"):
        list(running.run(WORK))
    assert len(target.asked) == 1


# --- embeddings only -------------------------------------------------------------------------------------------------


def requeued(answers: list[RequeueResult | InvocationFailed]) -> tuple[RequeueTotals, list[str], Recorder]:
    target = Recorder(answers=answers)
    totals = RequeueTotals(2)
    errors = [outcome.error for outcome in requeue_missing(target, WORK[:2], {"dry_run": False}, totals)]
    return totals, errors, target


def test_each_day_is_gone_through_until_there_is_no_next() -> None:
    totals, errors, target = requeued(
        [
            RequeueResult(summaries=5, missing=3, queued=2, failed=1, next="here"),
            RequeueResult(summaries=4, missing=1, queued=1, damaged=1),
            RequeueResult(summaries=1),
        ]
    )
    assert [asked.get("after") for asked in target.asked] == [None, "here", None]
    assert (totals.summaries, totals.missing, totals.queued, totals.failed, totals.damaged) == (10, 4, 3, 1, 1)
    assert (totals.days_done, totals.days_failed, errors) == (2, 0, ["", "", ""])


def test_an_invocation_that_fails_costs_its_day() -> None:
    failure = InvocationFailed("ClickHouseTimeout", "while reading")
    totals, errors, _ = requeued([failure, RequeueResult(summaries=1)])
    assert (totals.days_done, totals.days_failed, errors) == (1, 1, ["ClickHouseTimeout: while reading", ""])


def test_a_broker_that_takes_nothing_ends_it() -> None:
    totals, errors, target = requeued([RequeueResult(summaries=2, missing=2, failed=2, error="EmbeddingNotQueued: x")])
    assert (totals.days_done, totals.days_failed, totals.failed) == (0, 1, 2)
    assert errors == ["EmbeddingNotQueued: x"]
    assert len(target.asked) == 1


def test_settings_that_the_function_refuses_end_it() -> None:
    with pytest.raises(InvalidInput, match="^models: no"):
        requeued([InvocationFailed("InvalidInput", "models: no")])
