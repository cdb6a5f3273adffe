"""`demo`: the whole way on recorded traces: load, run the coordinator, read the summaries, search them."""

import shlex
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from local.commands.run import run_and_tell, tell_result
from local.commands.search import readable_result, search_page
from local.commands.summaries import readable
from local.load_events import load_events
from local.output import Output, data_dir_option
from local.queries import busy_hours, stored_summaries, summaries_without_vector
from local.session import read_allowlist, running_or_own_stack, write_allowlist
from local.stack_info import PROJECT_ROOT, StackInfo
from local.stack_options import StackOptions
from trace_summarization.constants import OFFLINE_EMBEDDING_MODEL
from trace_summarization.planning import parse_allowlist
from trace_summarization.timestamps import format_rfc3339

_SAMPLES = PROJECT_ROOT / "samples"
_SHOWN_SUMMARIES = 3
_SEARCHED_TEAM = 1
_SEARCHED_TEXT = "gift card balance is not enough"
_SHOWN_RESULTS = 3
_EMBEDDING_WAIT_SECONDS = 30.0
_EMBEDDING_POLL_SECONDS = 0.5


@click.command(
    epilog="""\b
Example:
  make demo"""
)
@data_dir_option
def demo(data_dir: Path) -> None:
    """Load the recorded sample traces and summarize their busiest hour for all their teams, then search it.

    Always with the offline model unless a running stack says otherwise: it costs nothing and needs no key.
    """
    output = Output(as_json=False)
    with running_or_own_stack(StackOptions(data_dir=data_dir.resolve()), output.say) as info:
        inputs = _load(info, output)
        execution = run_and_tell(info, inputs, output)
        if execution.status != "SUCCEEDED" or execution.output is None:
            output.fail(f"{execution.error}: {execution.cause}")
        tell_result(execution, [], output)
        _tell_summaries(info, inputs, output)
        _tell_search(info, output)
        _tell_what_next(inputs, output)
        if execution.output["teams_failed"]:
            output.fail(f"teams failed: {execution.output['failed_team_ids']}; see {info.log_dir}")


def _load(info: StackInfo, output: Output) -> dict[str, Any]:
    """Load the samples, allow their teams, and return the coordinator's input for their busiest hour."""
    with info.clickhouse() as client:
        report = load_events(client, info.clickhouse_events_table, sorted(_SAMPLES.glob("*.jsonl.gz")))
    teams = sorted(report.teams)
    output.say(f"Loaded {report.loaded} events of {report.traces} traces of teams {', '.join(map(str, teams))}")
    write_allowlist(info, teams)
    busiest = max(busy_hours(info, teams), key=lambda busy: busy.traces)
    end = busiest.hour + timedelta(hours=1)
    output.say(f"Busiest hour: {format_rfc3339(busiest.hour)}, {busiest.traces} traces\n")
    return {"window_start": format_rfc3339(busiest.hour), "window_end": format_rfc3339(end)}


def _tell_summaries(info: StackInfo, inputs: dict[str, Any], output: Output) -> None:
    """One summary of each of three teams: of those the trace with the most events."""
    largest = []
    for team_id in parse_allowlist(read_allowlist(info)):
        rows = stored_summaries(info, team_id, 1_000)
        if rows:
            largest.append(max(rows, key=lambda row: (row["event_count"], row["trace_id"])))
    output.say(f"\nThree of the summaries (window {inputs['window_start']} to {inputs['window_end']}):\n")
    for row in sorted(largest, key=lambda row: row["event_count"], reverse=True)[:_SHOWN_SUMMARIES]:
        output.say(readable(row))


def _tell_search(info: StackInfo, output: Output) -> None:
    """One search, once the summaries are embedded: titles, and why each was found."""
    missing = _wait_until_embedded(info)
    if missing:
        output.say(
            f"{missing} summaries are not embedded after {_EMBEDDING_WAIT_SECONDS:.0f} s, and the search goes without "
            f"them; what the worker says: {info.log_dir}\n"
        )
    model = info.embedding_models[0]
    told = "a small offline model: it knows words, not sentences" if model == OFFLINE_EMBEDDING_MODEL else model
    command = shlex.join(["python", "-m", "local", "search", _SEARCHED_TEXT, "--team", str(_SEARCHED_TEAM)])
    output.say(
        f"The summaries can be searched (vectors of {told}). The first results, bullets left out, of\n{command}\n"
    )
    request = {"team_id": _SEARCHED_TEAM, "text": _SEARCHED_TEXT, "limit": _SHOWN_RESULTS}
    for result in search_page(info, request, output)["results"]:
        output.say(readable_result({**result, "bullets": []}))


def _wait_until_embedded(info: StackInfo) -> int:
    """Wait for the worker that reads the queue, for a while. Returns how many summaries it has not embedded yet."""
    team_ids = parse_allowlist(read_allowlist(info))
    until = time.monotonic() + _EMBEDDING_WAIT_SECONDS
    while True:
        missing = sum(summaries_without_vector(info, team_id, info.embedding_models[0]) for team_id in team_ids)
        if not missing or time.monotonic() >= until:
            return missing
        time.sleep(_EMBEDDING_POLL_SECONDS)


def _tell_what_next(inputs: dict[str, Any], output: Output) -> None:
    window = f"--window-start {inputs['window_start']} --window-end {inputs['window_end']}"
    output.say(f"""Try next (. .venv/bin/activate first):
  python -m local run --team 3 {window}   # again: nothing is paid for twice
  python -m local summaries --team 4
  python -m local search "refund" --team 1
  python -m local up                      # keep it running, use the AWS CLI
  OPENAI_API_KEY=... python -m local run --team 4 --max-traces 3 {window}
                                          # a real model: costs what it charges
  docs/executing.md                       # every input, CLI and Python
""")
