"""`estimate`: what a run would send to the model, and what that would cost."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from local.commands.run import (
    given_inputs,
    hint_for_nothing,
    hours_near_an_empty_window,
    input_options,
    require_success,
    run_and_tell,
)
from local.executions import Progress
from local.output import FAILURE_EXIT_CODE, Output, data_dir_option, json_option, stack_options
from local.session import running_or_own_stack
from trace_summarization.constants import DEFAULT_MODEL
from trace_summarization.timestamps import format_rfc3339
from trace_summarization.tokens import is_counted_exactly

_TEAM_COMPLETED = "Batch trace summarization completed"
_TOLD = (
    "traces_queried",
    "traces_estimated",
    "summaries_reused",
    "summaries_skipped",
    "summaries_failed",
    "estimated_input_tokens",
    "estimated_cost_usd",
    "max_cost_usd",
    "price_version",
)


@click.command(
    epilog="""\b
Example:
  python -m local estimate --window-start 2025-01-15T14:00:00Z --window-end 2025-01-15T15:00:00Z
  python -m local estimate --team 3 --model gpt-5-mini --json"""
)
@click.option("--team", type=int, help="Estimate this team's run instead of the coordinator's.")
@partial(input_options, without=("dry_run",))
@data_dir_option
@json_option
def estimate(team: int | None, data_dir: Path, output: Output, **inputs: Any) -> None:
    """Tell what a run with these inputs would send to the model and cost. Nothing is asked, stored or queued."""
    given = {**given_inputs(team, inputs), "dry_run": True}
    teams: dict[int, dict[str, Any]] = {}

    def remember(step: Progress) -> None:
        if step.message == _TEAM_COMPLETED:
            # The log leaves out what is null, such as the cost of a model without a price.
            teams[step.fields["team_id"]] = {name: step.fields.get(name) for name in _TOLD}

    with running_or_own_stack(stack_options(data_dir, dict(os.environ)), output.say) as info:
        execution = run_and_tell(info, given, output, remember)
        hours = hours_near_an_empty_window(info, given, execution)
        hint = hint_for_nothing(info, given, execution, hours)
    require_success(execution, output)
    model = given.get("model", DEFAULT_MODEL)
    failed_teams = (execution.output or {}).get("failed_team_ids", [])
    failed_traces = sum(told["summaries_failed"] for told in teams.values())
    # What failed would cost something too: a sum without it would pass for the whole.
    is_complete = not failed_teams and not failed_traces
    costs = [told["estimated_cost_usd"] for told in teams.values()]
    document: dict[str, Any] = {
        "execution": execution.arn,
        "model": model,
        "traces": sum(told["traces_estimated"] for told in teams.values()),
        "input_tokens": sum(told["estimated_input_tokens"] for told in teams.values()),
        "estimated_cost_usd": round(sum(costs), 9) if is_complete and None not in costs else None,
        "teams_failed": len(failed_teams),
        "failed_team_ids": failed_teams,
        "summaries_failed": failed_traces,
        "tokens_are_estimated": not is_counted_exactly(model),
        "teams": [{"team_id": team_id, **told} for team_id, told in sorted(teams.items())],
    }
    output.say()
    for team_id, told in sorted(teams.items()):
        cap = "" if told["max_cost_usd"] is None else f" of at most {told['max_cost_usd']:g}"
        output.say(
            f"  team {team_id:<5} {told['traces_estimated']:>5} traces ({told['summaries_reused']} reused)"
            f" {told['estimated_input_tokens']:>10} input tokens   {_usd(told['estimated_cost_usd'])}{cap}"
        )
    output.say(
        f"  {'all':10} {document['traces']:>5} traces {document['input_tokens']:>21} input tokens"
        f"   {_usd(document['estimated_cost_usd']) if is_complete else 'unknown cost (incomplete)'} with {model}"
    )
    if not is_complete:
        listed = f" ({', '.join(map(str, failed_teams))})" if failed_teams else ""
        output.say(f"\nCould not be estimated: {len(failed_teams)} teams{listed}, {failed_traces} traces")
    if document["tokens_are_estimated"]:
        output.say(f"\nTokens are an estimate: the encoding of {model} is not known; 15 % are added.")
    if hours:
        document["nearest_hours"] = [{"hour": format_rfc3339(busy.hour), "traces": busy.traces} for busy in hours]
        listed = ", ".join(f"{format_rfc3339(busy.hour)} ({busy.traces} traces)" for busy in hours)
        output.say(f"\nThe window holds no trace. Nearest hours that do: {listed}")
    if hint:
        document["hint"] = hint
        output.say(f"\n{hint}")
    output.result(document)
    if not is_complete:
        sys.exit(FAILURE_EXIT_CODE)


def _usd(amount: float | None) -> str:
    return "unknown cost (no price)" if amount is None else f"{amount:.4f} USD"
