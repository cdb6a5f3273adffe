"""PlanRun: check the coordinator's input and its cap, fix the window, read the team allowlist."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.secrets import read_parameter
from adapters.settings import AllowlistSettings, TeamParameterSettings
from handlers.edge import Event, logged_errors
from trace_summarization.planning import check_cap, coordinator_settings, parse_allowlist, plan_run
from trace_summarization.team_settings import parse_team_settings

logger = Logger()


@logged_errors(logger, "Planning the run failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's calling convention
    """`{input, execution_start, execution_id}` -> RunPlan. The input is checked before anything is read."""
    logger.append_keys(execution_id=event["execution_id"])
    inputs, window = coordinator_settings(event["input"], event["execution_start"])
    team_parameter = TeamParameterSettings.from_environment(os.environ).team_settings_parameter
    check_cap(inputs, parse_team_settings(read_parameter(team_parameter)))
    allowlist_parameter = AllowlistSettings.from_environment(os.environ).allowed_team_ids_parameter
    team_ids = parse_allowlist(read_parameter(allowlist_parameter))
    plan = plan_run(inputs, window, event["execution_id"], team_ids)
    logger.info("Run planned", extra={"run_key": plan.run_key, "teams": len(team_ids)})
    return plan.model_dump(mode="json")
