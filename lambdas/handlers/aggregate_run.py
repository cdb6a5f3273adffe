"""AggregateRun: add up the teams' outcomes to the CoordinatorResult."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers.edge import Event, logged_errors
from trace_summarization.aggregation import aggregate_run
from trace_summarization.models import TeamOutcome

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logged_errors(logger, "Aggregating the run failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's calling convention
    """`{outcomes}` -> CoordinatorResult."""
    result = aggregate_run([TeamOutcome.model_validate(outcome) for outcome in event["outcomes"]])
    for name, value in (
        ("TeamsProcessed", result.teams_processed),
        ("TeamsIdle", result.teams_idle),
        ("TeamsFailed", result.teams_failed),
    ):
        metrics.add_metric(name, MetricUnit.Count, value)
    logger.info("Run completed", extra=result.model_dump(mode="json"))
    return result.model_dump(mode="json")
