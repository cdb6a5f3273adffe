"""SampleTraces: check a team's input, fix its window, pick its traces."""

import functools
import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.clickhouse import ClickHouseTraceStore
from adapters.secrets import read_parameter
from adapters.settings import ClickHouseSettings, DeadlineSettings, TeamParameterSettings
from handlers.edge import Event, logged_errors
from trace_summarization.planning import team_run
from trace_summarization.sampling import sample_traces
from trace_summarization.team_settings import TeamSettings, parse_team_settings

logger = Logger()


@functools.cache
def _trace_store() -> ClickHouseTraceStore:
    return ClickHouseTraceStore.from_settings(ClickHouseSettings.from_environment(os.environ))


def _team_settings() -> TeamSettings:
    return parse_team_settings(
        read_parameter(TeamParameterSettings.from_environment(os.environ).team_settings_parameter)
    )


@logged_errors(logger, "Sampling traces failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's calling convention
    """`{input, execution_start, execution_id}` -> TeamSample."""
    deadline = DeadlineSettings.from_environment(os.environ)
    run, inputs = team_run(
        event["input"],
        event["execution_start"],
        event["execution_id"],
        deadline.team_deadline_minutes,
        _team_settings,
    )
    logger.append_keys(team_id=run.team_id, batch_run_id=run.batch_run_id, execution_id=run.execution_id)
    logger.info(
        "Starting batch trace summarization",
        extra={"mode": run.mode, "model": run.model, "max_cost_usd": run.max_cost_usd, "dry_run": run.dry_run},
    )
    sample = sample_traces(run, inputs.max_traces, _trace_store())
    logger.info("Processing batch", extra={"traces": len(sample.traces), "batch_size": run.batch_size})
    return sample.model_dump(mode="json")
