"""`teams`: the allowlist that the coordinator goes over."""

import os
from pathlib import Path

import click

from local.output import Output, data_dir_option, json_option, stack_options
from local.session import read_allowlist, running_or_own_stack, write_allowlist
from trace_summarization.planning import parse_allowlist


@click.command(
    epilog="""\b
Example:
  python -m local teams
  python -m local teams --set 1,2,5"""
)
@click.option("--set", "new", metavar="IDS", help="New allowlist, comma-separated; '' empties it.")
@data_dir_option
@json_option
def teams(new: str | None, data_dir: Path, output: Output) -> None:
    """Show or set the teams that the coordinator goes over. A team started by hand need not be listed."""
    wanted = None if new is None else parse_allowlist(f"[{new.strip().removeprefix('[').removesuffix(']')}]")
    with running_or_own_stack(stack_options(data_dir, dict(os.environ)), _quiet) as info:
        if wanted is not None:
            write_allowlist(info, wanted)
        team_ids = parse_allowlist(read_allowlist(info))
    output.say(", ".join(map(str, team_ids)) if team_ids else "No team: the coordinator runs and processes none.")
    output.result({"team_ids": team_ids})


def _quiet(_: str) -> None:
    """A short command does not tell how its stack starts."""
