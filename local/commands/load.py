"""`load`: put recorded events into the local ClickHouse."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from local.load_events import LoadReport, load_events
from local.output import FAILURE_EXIT_CODE, Output, data_dir_option, json_option, stack_options
from local.session import running_or_own_stack
from trace_summarization.timestamps import format_rfc3339

_SHOWN_REJECTS = 20


@click.command(
    epilog="""\b
Example:
  python -m local load samples/*.jsonl.gz
  python -m local load --now my-events.jsonl"""
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--now", "shift", is_flag=True, help="Shift all times so that the last event is 15 minutes ago.")
@data_dir_option
@json_option
def load(files: tuple[Path, ...], shift: bool, data_dir: Path, output: Output) -> None:
    """Load event JSON lines, plain or gzip. Lines that are no event are told by number; the rest is loaded."""
    for path in files:
        if not path.is_file():
            output.fail(f"{path} is no regular file: it is read twice; write what a pipe gives to a file first")
    now = datetime.now(UTC) if shift else None
    with (
        running_or_own_stack(stack_options(data_dir, dict(os.environ)), lambda _: None) as info,
        info.clickhouse() as client,
    ):
        report = load_events(client, info.clickhouse_events_table, files, shift_to=now)
    tell_load(report, output)
    if not report.loaded:
        sys.exit(FAILURE_EXIT_CODE)


def tell_load(report: LoadReport, output: Output) -> None:
    """Tell what was loaded, and each line that was not, by file and number."""
    teams = ", ".join(map(str, report.teams)) or "no team"
    output.say(f"Loaded {report.loaded} events of {report.traces} traces of {teams} from {len(report.files)} file(s)")
    if report.first and report.last:
        output.say(f"Times: {format_rfc3339(report.first)} to {format_rfc3339(report.last)}")
    if report.without_trace_id:
        output.say(f"{report.without_trace_id} AI event(s) name no trace: loaded, never summarized")
    for line in report.rejected[:_SHOWN_REJECTS]:
        output.say(f"rejected {line.file}:{line.line}: {line.reason}")
    if report.rejected_count:
        output.say(f"{report.rejected_count} line(s) rejected")
    output.result(
        {
            "files": [str(path) for path in report.files],
            "loaded": report.loaded,
            "rejected_count": report.rejected_count,
            "rejected": [{"file": str(r.file), "line": r.line, "reason": r.reason} for r in report.rejected],
            "without_trace_id": report.without_trace_id,
            "teams": list(report.teams),
            "traces": report.traces,
            "first": report.first and format_rfc3339(report.first),
            "last": report.last and format_rfc3339(report.last),
        }
    )
