"""Runs of a team for tests that need one."""

from typing import Any

from trace_summarization.models import TeamRun
from trace_summarization.planning import team_run
from trace_summarization.team_settings import TeamSettings

STARTED = "2025-01-15T12:00:00Z"


def run_of_team(team_id: int = 1, settings: TeamSettings | None = None, **given: Any) -> TeamRun:
    """A run as SampleTraces begins it."""
    inputs = {"team_id": team_id, **given}
    run, _ = team_run(inputs, STARTED, f"arn:execution:{team_id}", 110, lambda: settings or TeamSettings())
    return run
