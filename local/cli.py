"""`python -m local`: the whole stack on one machine, and what to do with it."""

import click

from local.commands.backfill import backfill
from local.commands.demo import demo
from local.commands.doctor import doctor
from local.commands.estimate import estimate
from local.commands.load import load
from local.commands.preview import preview
from local.commands.run import run
from local.commands.schedule import schedule
from local.commands.schema import schema
from local.commands.search import search
from local.commands.summaries import summaries
from local.commands.teams import teams
from local.commands.up import up
from local.group import ErrorsInOneLine


@click.group(cls=ErrorsInOneLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Batch trace summarization on this machine: the state machines and Lambdas that a deploy would create.

    \b
    Example:
      python -m local up          # in one terminal
      python -m local load samples/*.jsonl.gz
      python -m local run --team 1 --window-start 2025-01-15T14:00:00Z --window-end 2025-01-15T15:00:00Z
      python -m local search "gift card balance is not enough" --team 1
    """


for command in (
    up,
    load,
    run,
    estimate,
    backfill,
    teams,
    summaries,
    search,
    preview,
    schedule,
    schema,
    doctor,
    demo,
):
    main.add_command(command)
