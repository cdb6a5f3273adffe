"""`load`: put recorded events into the local ClickHouse."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from local.load_events import LoadReport, load_events
from local.output import Output, data_dir_option, json_option, stack_options
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
    now = datetime.now(UTC) if shift else None
    with (
        running_or_own_stack(stack_options(data_dir, dict(os.environ)), lambda _: None) as info,
        info.clickhouse() as client,
    ):
        report = load_events(client, info.clickhouse_events_table, files, shift_to=now)
    tell_load(report, output)
