"""`run`: start the coordinator, or one team's machine, and follow it to its result."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from local.executions import Execution, Progress, describe, error_message, start_and_follow
from local.output import FAILURE_EXIT_CODE, Output, data_dir_option, json_option, stack_options
from local.progress import ProgressReport
from local.queries import BusyHour, busy_hours, nearest_hours, teams_with_traces
from local.session import read_allowlist, running_or_own_stack
from local.stack_info import StackInfo
from local.stack_options import ModelEndpoint
from trace_summarization.models import BatchTraceSummarizationCoordinatorInputs, Window
from trace_summarization.planning import parse_allowlist
from trace_summarization.timestamps import format_rfc3339, parse_rfc3339

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def input_options(command: CommandT, without: Sequence[str] = ()) -> CommandT:
    """An option for each input of the state machines. The machine's first state checks the values."""
    for name, field in reversed(BatchTraceSummarizationCoordinatorInputs.model_fields.items()):
        if name in without:
            continue
        flag = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            command = click.option(flag, name, is_flag=True, default=None, help=field.description)(command)
            continue
        kind = next((kind for kind in (int, float) if field.annotation in (kind, kind | None)), str)
        default = f"  [default: {field.default}]" if field.default is not None else ""
        command = click.option(flag, name, type=kind, help=f"{field.description}{default}")(command)
    return command


def given_inputs(team: int | None, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The execution's input: what was given on the command line."""
    given = {name: value for name, value in inputs.items() if value is not None}
    return given if team is None else {**given, "team_id": team}


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
    given = given_inputs(team, inputs)
    with running_or_own_stack(stack_options(data_dir, dict(os.environ)), output.say) as info:
        refuse_another_model(info, output)
        execution = run_and_tell(info, given, output)
        hours = hours_near_an_empty_window(info, given, execution)
        hint = hint_for_nothing(info, given, execution, hours)
    require_success(execution, output)
    tell_result(execution, hours, output, hint)
    metrics = (execution.output or {}).get("metrics", {})
    if metrics.get("summaries_failed") and not metrics.get("summaries_generated"):
        sys.exit(FAILURE_EXIT_CODE)


def require_success(execution: Execution, output: Output) -> None:
    """Leave with the execution's error when it has failed."""
    if execution.status != "SUCCEEDED":
        output.fail(f"{execution.error}: {error_message(execution.cause)}", execution=execution.arn)


def refuse_another_model(info: StackInfo, output: Output) -> None:
    """A stack's model is fixed when it starts: an environment that names another one would be ignored in silence."""
    wanted = ModelEndpoint.from_environment(os.environ)
    if wanted is not None and wanted.base_url != info.model_base_url:
        output.fail(
            f"OPENAI_BASE_URL / OPENAI_API_KEY ask for {wanted.base_url}, but the running stack uses "
            f"{info.model_told()}: restart it with them set, or unset them"
        )


def run_and_tell(
    info: StackInfo, inputs: Mapping[str, Any], output: Output, seen: Callable[[Progress], None] = lambda _: None
) -> Execution:
    """Start the machine that the inputs ask for and tell its progress until it ends; `seen` gets each step too."""
    machine = info.team_machine_arn if "team_id" in inputs else info.coordinator_arn
    output.say(f"Model: {info.model_told()}")
    arn, progress = start_and_follow(info, machine, inputs)
    output.say(f"Execution {arn}")
    report = ProgressReport()
    try:
        for line in report.lines(_shown_to(seen, progress)):
            output.say(line)
    except KeyboardInterrupt:
        output.say(
            f"\nStopped following. Unless its stack ends with it, the execution goes on; to stop it:\n"
            f"  aws stepfunctions stop-execution --execution-arn {arn}"
        )
        raise
    failures = report.failures()
    if failures:
        output.say(f"\nFailed ({info.log_dir} tells more):")
        for failure in failures:
            output.say(f"  {failure}")
    return describe(info, arn)


def _shown_to(seen: Callable[[Progress], None], progress: Iterator[Progress]) -> Iterator[Progress]:
    for step in progress:
        seen(step)
        yield step


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


def hint_for_nothing(
    info: StackInfo, inputs: Mapping[str, Any], execution: Execution, hours: list[BusyHour]
) -> str | None:
    """What to do when a run found no trace and no hour near it has any."""
    result = execution.output or {}
    if execution.status != "SUCCEEDED" or hours or result.get("total_traces", 0) + _queried(result) > 0:
        return None
    teams = ",".join(map(str, teams_with_traces(info)))
    if not teams:
        return "No events are loaded: python -m local load samples/*.jsonl.gz"
    if "team_id" in inputs:
        return f"Team {inputs['team_id']} has no traces; teams that have: {teams}"
    return f"No team with traces is on the allowlist: python -m local teams --set {teams}"


def tell_result(execution: Execution, hours: list[BusyHour], output: Output, hint: str | None = None) -> None:
    """Print the result, and where there is data when there was none."""
    result = execution.output or {}
    output.say()
    for name, value in (result.get("metrics") or result).items():
        output.say(f"  {name:30} {_told(value)}")
    nearest = [{"hour": format_rfc3339(busy.hour), "traces": busy.traces} for busy in hours]
    if nearest:
        listed = ", ".join(f"{busy['hour']} ({busy['traces']} traces)" for busy in nearest)
        output.say(f"\nThe window holds no trace. Nearest hours that do: {listed}")
    if hint:
        output.say(f"\n{hint}")
    document: dict[str, Any] = {"execution": execution.arn, "status": execution.status, "result": result}
    output.result({**document, **({"nearest_hours": nearest} if nearest else {}), **({"hint": hint} if hint else {})})


def _told(value: Any) -> str:
    """A value for people: `text_too_long 2, budget 1` for counts by name."""
    return ", ".join(f"{name} {count}" for name, count in value.items()) if isinstance(value, dict) else str(value)
