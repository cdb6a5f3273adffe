"""AggregateTeam: add up a team's outcomes and record its window as done."""

import functools
import os
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.clickhouse import ClickHouseSummaryStore
from adapters.settings import ClickHouseSettings, SpendingSettings
from adapters.spending import read_spending
from handlers.edge import Event, logged_errors
from trace_summarization.aggregation import NOTHING_SPENT, aggregate_team
from trace_summarization.errors import InvalidConfiguration, SpendingUnavailable
from trace_summarization.models import (
    BatchRunRow,
    BatchSummarizationMetrics,
    RunSpending,
    SummarizationActivityResult,
    TeamRun,
)

logger = Logger()
metrics = Metrics()


@functools.cache
def _summary_store() -> ClickHouseSummaryStore:
    return ClickHouseSummaryStore.from_settings(ClickHouseSettings.from_environment(os.environ))


def _spending(run: TeamRun) -> RunSpending | None:
    """What the run's ledger holds, None when it cannot be read: that must not undo what the team has stored."""
    table = SpendingSettings.from_environment(os.environ).coordination_table
    try:
        return read_spending(table, run)
    except (SpendingUnavailable, InvalidConfiguration) as error:
        logger.error("What the run has spent is unknown", extra={"error": type(error).__name__, "detail": str(error)})
        return None


@metrics.log_metrics
@logged_errors(logger, "Aggregating the team's run failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's calling convention
    """`{run, outcomes}` -> BatchSummarizationResult. A dry run leaves no record and no metrics."""
    run = TeamRun.model_validate(event["run"])
    logger.append_keys(team_id=run.team_id, batch_run_id=run.batch_run_id, execution_id=run.execution_id)
    outcomes = [SummarizationActivityResult.model_validate(outcome) for outcome in event["outcomes"]]
    now = datetime.now(UTC)
    result = aggregate_team(run, outcomes, now, NOTHING_SPENT if run.dry_run else _spending(run))
    if not run.dry_run:
        _summary_store().save_batch_run(BatchRunRow.of(run, result.metrics, now))
        _measure(result.metrics)
    logger.info("Batch trace summarization completed", extra=result.metrics.model_dump(mode="json"))
    return result.model_dump(mode="json")


def _measure(counted: BatchSummarizationMetrics) -> None:
    """Fleet metrics: the team is a field of the log, not a dimension, so that their number stays fixed."""
    for name, value in (
        ("TracesQueried", counted.traces_queried),
        ("SummariesGenerated", counted.summaries_generated),
        ("SummariesReused", counted.summaries_reused),
        ("SummariesSkipped", counted.summaries_skipped),
        ("SummariesFailed", counted.summaries_failed),
        ("EmbeddingRequestsSucceeded", counted.embedding_requests_succeeded),
        ("EmbeddingRequestsFailed", counted.embedding_requests_failed),
        ("ModelCalls", counted.model_calls),
        ("InputTokens", counted.input_tokens),
        ("CachedInputTokens", counted.cached_input_tokens),
        ("OutputTokens", counted.output_tokens),
    ):
        metrics.add_metric(name, MetricUnit.Count, value)
    if counted.cost_usd is not None:
        metrics.add_metric("ModelCost", MetricUnit.NoUnit, counted.cost_usd)  # USD
    metrics.add_metric("RunDuration", MetricUnit.Seconds, counted.duration_seconds)
