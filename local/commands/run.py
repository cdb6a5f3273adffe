"""`run`: start the coordinator, or one team's machine, and follow it to its result."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from local.executions import Execution, Progress, describe, start_and_follow
from local.output import Output, data_dir_option, json_option, stack_options
from local.queries import BusyHour, busy_hours, nearest_hours
from local.session import read_allowlist, running_or_own_stack
from local.stack_info import StackInfo
from trace_summarization.models import BatchTraceSummarizationCoordinatorInputs, Window
from trace_summarization.planning import parse_allowlist
from trace_summarization.timestamps import format_rfc3339, parse_rfc3339

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def input_options(command: CommandT) -> CommandT:
    """An option for each input of the state machines. The machine's first state checks the values."""
    for name, field in reversed(BatchTraceSummarizationCoordinatorInputs.model_fields.items()):
        kind: Any = int if field.annotation is int else str
        default = f"  [default: {field.default}]" if field.default is not None else ""
        option = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=f"{field.description}{default}")
        command = option(command)
    return command


@click.command(
    epilog="""\b
Example:
  python -m local run --window-start 2025-01-15T14:00:00Z --window-end 2025-01-15T15:00:00Z
  python -m local run --team 3 --max-traces 20 --mode minimal"""
)
@click.option("--team", type=int, help="Run this team's machine instead of the coordinator.")
@input_options
@data_dir_option
@json_option
def run(team: int | None, data_dir: Path, output: Output, **inputs: Any) -> None:
    """Summarize a window: all allowlisted teams, or one with --team."""
    given = {name: value for name, value in inputs.items() if value is not None}
    if team is not None:
        given["team_id"] = team
    with running_or_own_stack(stack_options(data_dir, dict(os.environ)), output.say) as info:
        execution = run_and_tell(info, given, output)
        hours = hours_near_an_empty_window(info, given, execution)
    if execution.status != "SUCCEEDED":
        output.fail(f"{execution.error}: {_message(execution.cause)}", execution=execution.arn)
    tell_result(execution, hours, output)


def run_and_tell(info: StackInfo, inputs: Mapping[str, Any], output: Output) -> Execution:
    """Start the machine that the inputs ask for and tell its progress until it ends."""
    machine = info.team_machine_arn if "team_id" in inputs else info.coordinator_arn
    arn, progress = start_and_follow(info, machine, inputs)
    output.say(f"Execution {arn}")
    for line in _told(progress):
        output.say(line)
    return describe(info, arn)


def _told(progress: Iterator[Progress]) -> Iterator[str]:
    """Lines for people: one per team's beginning and end, one per trace."""
    done: dict[int, int] = {}
    sampled: dict[int, int] = {}
    for step in progress:
        fields = step.fields
        team = fields.get("team_id")
        if team is None:
            continue
        if step.message == "Processing batch":
            sampled[team] = fields["traces"]
            yield f"team {team}: {fields['traces']} traces"
        elif step.message in ("Trace processed", "Failed to generate summary for trace"):
            done[team] = done.get(team, 0) + ("outcome" in fields)
            yield f"team {team}: {done[team]}/{sampled.get(team, '?')} {_outcome(fields)} {fields['trace_id']}"
        elif step.message == "Batch trace summarization completed":
            yield (
                f"team {team}: {fields['summaries_generated']} generated ({fields['summaries_reused']} reused), "
                f"{fields['summaries_skipped']} skipped, {fields['summaries_failed']} failed"
                f" in {fields['duration_seconds']:.1f} s"
            )
        elif fields.get("level") == "ERROR":
            yield f"team {team}: {step.message}: {fields.get('error')}: {fields.get('detail', '')}"


def _outcome(fields: Mapping[str, Any]) -> str:
    if "outcome" not in fields:
        return f"attempt failed ({fields.get('error')})"
    if fields["outcome"] == "skipped":
        return f"skipped ({fields.get('reason')})"
    return "reused" if fields.get("reused") else "summarized"


def hours_near_an_empty_window(info: StackInfo, inputs: Mapping[str, Any], execution: Execution) -> list[BusyHour]:
    """When the window held no trace: the nearest hours that do, for the team or the allowlisted teams."""
    result = execution.output or {}
    if execution.status != "SUCCEEDED" or result.get("total_traces", 0) + _queried(result) > 0:
        return []
    teams = [inputs["team_id"]] if "team_id" in inputs else parse_allowlist(read_allowlist(info))
    return nearest_hours(busy_hours(info, teams), _window(info, inputs, execution))


def _queried(result: Mapping[str, Any]) -> int:
    return int(result.get("metrics", {}).get("traces_queried", 0))


def _window(info: StackInfo, inputs: Mapping[str, Any], execution: Execution) -> Window:
    """The window that the execution covered; explicit, or ending about when it started."""
    if "window_start" in inputs:
        return Window(parse_rfc3339(inputs["window_start"]), parse_rfc3339(inputs["window_end"]))
    told = info.aws("stepfunctions").describe_execution(executionArn=execution.arn)
    return Window(told["startDate"], told["startDate"])


def tell_result(execution: Execution, hours: list[BusyHour], output: Output) -> None:
    """Print the result, and where there is data when there was none."""
    result = execution.output or {}
    output.say()
    for name, value in (result.get("metrics") or result).items():
        output.say(f"  {name:30} {value}")
    nearest = [{"hour": format_rfc3339(busy.hour), "traces": busy.traces} for busy in hours]
    if nearest:
        listed = ", ".join(f"{busy['hour']} ({busy['traces']} traces)" for busy in nearest)
        output.say(f"\nThe window holds no trace. Nearest hours that do: {listed}")
    document: dict[str, Any] = {"execution": execution.arn, "status": execution.status, "result": result}
    output.result({**document, "nearest_hours": nearest} if nearest else document)


def _message(cause: str | None) -> str:
    """The message within a Lambda's error document, else the cause's first line."""
    try:
        return str(json.loads(cause or "")["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return (cause or "").partition("\n")[0]
