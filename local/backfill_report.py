"""What `backfill` prints: a line for each window, totals, and how to go on. Each function returns the exit code."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from local.backfill import (
    Backfill,
    Plan,
    Purse,
    RequeueOutcome,
    RequeueTotals,
    Target,
    Totals,
    WindowOutcome,
    Work,
    requeue_missing,
)
from local.output import FAILURE_EXIT_CODE, Output
from trace_summarization.timestamps import format_rfc3339

CAP_EXIT_CODE = 3
INTERRUPTED_EXIT_CODE = 130
_GO_ON = "the same command goes on from here: finished windows are skipped, stored summaries are not paid for again"


def tell_plan(plan: Plan, output: Output) -> int:
    """Which windows would be run."""
    for work in plan.work:
        output.say(f"  {_told(work)}")
    output.say(f"{len(plan.work)} windows to run, {plan.finished_before} are done already. Nothing was started.")
    output.result(
        {
            "dry_run": True,
            "windows_finished_before": plan.finished_before,
            "windows": [work.as_dict() for work in plan.work],
        }
    )
    return 0


def run_and_tell(target: Target, plan: Plan, settings: Mapping[str, Any], purse: Purse, output: Output) -> int:
    """Run the planned windows."""
    totals = Totals(len(plan.work), plan.finished_before)
    running = Backfill(target, settings, purse, totals)
    failures: list[dict[str, Any]] = []
    output.say(f"{totals.windows} windows to run, {totals.windows_finished_before} are done already")
    try:
        for number, outcome in enumerate(running.run(plan.work), 1):
            output.say(f"{_numbered(number, totals.windows)} {_window_line(outcome, purse)}")
            failures += _failure(outcome)
        stopped = "cap" if running.is_at_cap else None
    except KeyboardInterrupt:
        stopped = "interrupted"
    _tell_totals(totals, output)
    guessed = "" if purse.is_exact else " (where a cost is unknown, all that its run was allowed counts)"
    output.say(f"  {'cost_usd':30} {purse.spent_usd:.6f}{guessed}")
    if stopped == "cap":
        output.say(
            f"\nStopped at the cap: {purse.left_usd:.6f} of {purse.cap_usd:g} USD are left, which does not suffice for "
            f"the next trace. With money of its own, {_GO_ON}."
        )
    elif stopped == "interrupted":
        output.say(f"\nStopped, and with it the execution that ran, whose cost is not counted. Run again, {_GO_ON}.")
    elif totals.windows_failed or totals.windows_unfinished:
        output.say(
            f"\n{totals.windows_failed} windows failed, {totals.windows_unfinished} have traces left. "
            f"Run again, {_GO_ON}."
        )
    output.result(
        {
            **asdict(totals),
            "max_cost_usd": purse.cap_usd,
            "cost_usd": purse.spent_usd,
            "cost_is_exact": purse.is_exact,
            "left_usd": purse.left_usd,
            "stopped": stopped,
            "failures": failures,
        }
    )
    return _exit_code(stopped, bool(totals.windows_failed or totals.windows_unfinished))


def requeue_and_tell(target: Target, work: Sequence[Work], settings: Mapping[str, Any], output: Output) -> int:
    """Queue the missing embeddings of each team and day; with `dry_run` only count them."""
    totals = RequeueTotals(len(work))
    failures: list[dict[str, Any]] = []
    stopped = None
    try:
        for outcome in requeue_missing(target, work, settings, totals):
            done = totals.days_done + totals.days_failed
            output.say(f"{_numbered(done, totals.days)} {_requeue_line(outcome, bool(settings['dry_run']))}")
            failures += [{**outcome.work.as_dict(), "error": outcome.error}] if outcome.error else []
    except KeyboardInterrupt:
        stopped = "interrupted"
    _tell_totals(totals, output)
    if settings["dry_run"]:
        output.say("\nNothing was queued.")
    elif stopped or totals.days_done < totals.days:
        output.say("\nNot all was looked through. The same command again queues what is still missing.")
    output.result({"dry_run": settings["dry_run"], **asdict(totals), "stopped": stopped, "failures": failures})
    return _exit_code(stopped, totals.days_done < totals.days or bool(totals.failed))


def _exit_code(stopped: str | None, is_incomplete: bool) -> int:
    if stopped == "cap":
        return CAP_EXIT_CODE
    if stopped == "interrupted":
        return INTERRUPTED_EXIT_CODE
    return FAILURE_EXIT_CODE if is_incomplete else 0


def _window_line(outcome: WindowOutcome, purse: Purse) -> str:
    money = f"{purse.spent_usd:.4f} USD so far"
    if purse.left_usd is not None:
        money += f", {purse.left_usd:.4f} left"
    metrics = outcome.execution.metrics
    if metrics is None:
        return f"{_told(outcome.work)}  FAILED, {outcome.execution.error}: {outcome.execution.cause}; {money}"
    told = f"{metrics.traces_queried} traces, {metrics.summaries_generated} summaries"
    for name, count in (
        ("reused", metrics.summaries_reused),
        ("failed", metrics.summaries_failed),
        *((f"skipped: {reason}", count) for reason, count in metrics.summaries_skipped_by_reason.items()),
    ):
        told += f", {count} {name}" if count else ""
    return f"{_told(outcome.work)}  {told}; {money}"


def _requeue_line(outcome: RequeueOutcome, dry_run: bool) -> str:
    result = outcome.result
    told = f"{result.summaries} summaries, {result.missing} without all embeddings"
    if not dry_run:
        told += f", {result.queued} queued"
    for name, count in (("could not be queued", result.failed), ("damaged", result.damaged)):
        told += f", {count} {name}" if count else ""
    return f"{_told(outcome.work)}  {told}" + (f"; STOPPED, {outcome.error}" if outcome.error else "")


def _failure(outcome: WindowOutcome) -> list[dict[str, Any]]:
    execution = outcome.execution
    if execution.metrics is not None:
        return []
    told = {"execution": execution.arn, "error": execution.error, "cause": execution.cause}
    return [{**outcome.work.as_dict(), **told}]


def _tell_totals(totals: Totals | RequeueTotals, output: Output) -> None:
    output.say()
    for name, value in asdict(totals).items():
        output.say(f"  {name:30} {value}")


def _numbered(number: int, total: int) -> str:
    return f"[{number:>{len(str(total))}}/{total}]"


def _told(work: Work) -> str:
    window = work.window
    return f"team {work.team_id:<5} {format_rfc3339(window.start)} to {format_rfc3339(window.end)}"
