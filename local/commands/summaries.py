"""`summaries`: read what was stored, as a person wants to read it."""

import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from local.output import Output, data_dir_option, json_option, stack_options
from local.queries import stored_summaries
from local.session import running_or_own_stack
from trace_summarization.timestamps import format_microseconds, parse_rfc3339


class Rfc3339(click.ParamType[datetime]):
    """A time with offset."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse the option's text."""
        try:
            return parse_rfc3339(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


@click.command(
    epilog="""\b
Example:
  python -m local summaries --team 1 --limit 3"""
)
@click.option("--team", type=click.IntRange(min=1), required=True, help="Whose summaries.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, show_default=True, help="The newest so many.")
@click.option("--window-start", type=Rfc3339(), help="Traces that begin at or after this time.")
@click.option("--window-end", type=Rfc3339(), help="Traces that begin before this time.")
@data_dir_option
@json_option
def summaries(
    team: int,
    limit: int,
    window_start: datetime | None,
    window_end: datetime | None,
    data_dir: Path,
    output: Output,
) -> None:
    """Show a team's stored summaries by the time of their trace."""
    with running_or_own_stack(stack_options(data_dir, dict(os.environ)), lambda _: None) as info:
        rows = stored_summaries(info, team, limit, window_start, window_end)
    if not rows:
        output.say(f"Team {team} has no summary in this span. Summarize with: python -m local run --team {team}")
    for row in rows:
        output.say(readable(row))
    output.result([_document(row) for row in rows])


def readable(row: Mapping[str, Any]) -> str:
    """A summary on a terminal: title, where it comes from, bullets, notes, diagram."""
    width = min(100, shutil.get_terminal_size().columns)
    lines = [
        click.style(row["title"], bold=True),
        click.style(
            f"trace {row['trace_id']} · {row['timestamp']:%Y-%m-%d %H:%M:%S} UTC · {row['event_count']} events"
            f" · {row['text_repr_length']:,} characters read · {row['mode']} · {row['model']}",
            dim=True,
        ),
        *item_lines(row["bullets"], width),
    ]
    if row["interesting_notes"]:
        lines += ["Notes:", *item_lines(row["interesting_notes"], width)]
    lines += ["Flow:", *(f"    {line}" for line in row["flow_diagram"].splitlines()), ""]
    return "\n".join(lines)


def item_lines(items: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Bullets or notes on a terminal, each with the lines that show it."""
    lines = []
    for item in items:
        references = f" [{item['line_refs'] if item['verified'] else 'unverified'}]"
        wrapped = click.wrap_text(item["text"] + references, width, initial_indent="  - ", subsequent_indent="    ")
        lines.append(wrapped)
    return lines


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: format_microseconds(value) if isinstance(value, datetime) else value for name, value in row.items()}
