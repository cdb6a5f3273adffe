"""Add up: outcomes of traces to a team's result, outcomes of teams to the coordinator's."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from trace_summarization.models import (
    BatchSummarizationMetrics,
    BatchSummarizationResult,
    CoordinatorResult,
    RunSpending,
    SkipReason,
    SummarizationActivityResult,
    TeamOutcome,
    TeamRun,
)
from trace_summarization.prices import PriceList, most_nano_usd, nano_usd, usd
from trace_summarization.requests import expected_output_tokens
from trace_summarization.tokens import is_counted_exactly

NOTHING_SPENT: Final = RunSpending()


def aggregate_team(
    run: TeamRun,
    outcomes: Sequence[SummarizationActivityResult],
    now: datetime,
    spending: RunSpending | None = NOTHING_SPENT,
) -> BatchSummarizationResult:
    """A team's result; queried = generated + skipped + failed + estimated.

    Traces left out at sampling count as skipped. `spending` is what the run's ledger holds, None when
    it could not be read: then the cost is None, and no calls and tokens are counted.
    """
    counted = spending or NOTHING_SPENT
    generated = [outcome for outcome in outcomes if outcome.outcome == "generated"]
    embeddings = Counter(outcome.embedding for outcome in generated)
    skipped: Counter[SkipReason] = Counter(run.skipped_at_sampling)
    skipped.update(outcome.reason for outcome in outcomes if outcome.outcome == "skipped" and outcome.reason)
    estimated = [outcome for outcome in outcomes if outcome.outcome == "estimated"]
    metrics = BatchSummarizationMetrics(
        traces_queried=run.traces_queried,
        summaries_skipped=skipped.total(),
        summaries_failed=sum(outcome.outcome == "failed" for outcome in outcomes),
        summaries_generated=len(generated),
        summaries_reused=sum(outcome.reused for outcome in (*generated, *estimated)),
        embedding_requests_succeeded=embeddings["succeeded"],
        embedding_requests_failed=embeddings["failed"],
        embedding_requests_unneeded=embeddings["unneeded"],
        summaries_skipped_by_reason=dict(sorted(skipped.items())),
        duration_seconds=round(max(0.0, (now - run.started_at).total_seconds()), 3),
        max_cost_usd=run.max_cost_usd,
        cost_usd=None if run.price is None or spending is None else float(usd(spending.spent_nano_usd)),
        model_calls=counted.calls,
        input_tokens=counted.input_tokens,
        cached_input_tokens=counted.cached_input_tokens,
        output_tokens=counted.output_tokens,
        traces_estimated=len(estimated),
        estimated_input_tokens=sum(outcome.input_tokens or 0 for outcome in estimated),
        estimated_cost_usd=_expected_cost(run, estimated),
        tokens_are_estimated=not is_counted_exactly(run.model),
        price_version=_price_version(run),
    )
    return BatchSummarizationResult(batch_run_id=run.batch_run_id, metrics=metrics)


def _expected_cost(run: TeamRun, estimated: Sequence[SummarizationActivityResult]) -> float | None:
    """What a dry run's traces would cost in USD: their input, and the output that their mode is expected to take."""
    if run.price is None or not run.dry_run:
        return None
    paid = [outcome.input_tokens or 0 for outcome in estimated if not outcome.reused]
    return float(usd(most_nano_usd(run.price, sum(paid), len(paid) * expected_output_tokens(run.model, run.mode))))


def _price_version(run: TeamRun) -> str | None:
    prices = PriceList.shipped()
    return prices.version if run.price is not None and run.price == prices.price_of(run.model) else None


def aggregate_run(outcomes: Sequence[TeamOutcome]) -> CoordinatorResult:
    """The coordinator's result: a team is processed when it completed and had traces, idle when it had none."""
    completed = [outcome for outcome in outcomes if outcome.status == "completed"]
    failed = [outcome.team_id for outcome in outcomes if outcome.status == "failed"]
    processed = sum(outcome.traces_queried > 0 for outcome in completed)
    return CoordinatorResult(
        teams_processed=processed,
        teams_idle=len(completed) - processed,
        teams_failed=len(failed),
        failed_team_ids=failed,
        total_traces=sum(outcome.traces_queried for outcome in completed),
        total_summaries=sum(outcome.summaries_generated for outcome in completed),
        total_cost_usd=_total_usd([outcome.cost_usd for outcome in completed]),
        estimated_input_tokens=sum(outcome.estimated_input_tokens for outcome in completed),
        estimated_cost_usd=_total_usd([outcome.estimated_cost_usd for outcome in completed]),
    )


def _total_usd(amounts: Sequence[float | None]) -> float | None:
    """The sum of those that are known, exact to the nano-USD; None when none is."""
    known = [nano_usd(amount) for amount in amounts if amount is not None]
    return float(usd(sum(known))) if known else None
