"""Add up: outcomes of traces to a team's result, outcomes of teams to the coordinator's."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from trace_summarization.models import (
    BatchSummarizationMetrics,
    BatchSummarizationResult,
    CoordinatorResult,
    SkipReason,
    SummarizationActivityResult,
    TeamOutcome,
    TeamRun,
)


def aggregate_team(
    run: TeamRun, outcomes: Sequence[SummarizationActivityResult], now: datetime
) -> BatchSummarizationResult:
    """A team's result. Traces left out at sampling count as skipped, so that queried = generated + skipped + failed."""
    generated = [outcome for outcome in outcomes if outcome.outcome == "generated"]
    embeddings = Counter(outcome.embedding for outcome in generated)
    skipped: Counter[SkipReason] = Counter(run.skipped_at_sampling)
    skipped.update(outcome.reason for outcome in outcomes if outcome.outcome == "skipped" and outcome.reason)
    metrics = BatchSummarizationMetrics(
        traces_queried=run.traces_queried,
        summaries_skipped=skipped.total(),
        summaries_failed=sum(outcome.outcome == "failed" for outcome in outcomes),
        summaries_generated=len(generated),
        summaries_reused=sum(outcome.reused for outcome in generated),
        embedding_requests_succeeded=embeddings["succeeded"],
        embedding_requests_failed=embeddings["failed"],
        embedding_requests_unneeded=embeddings["unneeded"],
        summaries_skipped_by_reason=dict(sorted(skipped.items())),
        duration_seconds=round(max(0.0, (now - run.started_at).total_seconds()), 3),
    )
    return BatchSummarizationResult(batch_run_id=run.batch_run_id, metrics=metrics)


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
    )
