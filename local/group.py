"""Errors that a user can do something about, told in one line."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from infra.synthesis import SynthesisError
from local.errors import LocalStackError
from local.output import Output
from trace_summarization.errors import TraceSummarizationError

_AS_JSON = "local.as_json"
_FORESEEN = (
    BotoCoreError,
    ClickHouseError,
    ClientError,
    LocalStackError,
    OSError,
    SynthesisError,
    TraceSummarizationError,
)


class ErrorsInOneLine(click.Group):
    """A command group that tells foreseen errors in one line, with `--json` as the document."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember whether the command's output is a JSON document."""
        ctx.meta[_AS_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def main(self, args: Sequence[str] | None = None, *others: Any, **further: Any) -> Any:
        """Run the command line; with `--json` a wrong call is told as the document too."""
        given = list(sys.argv[1:] if args is None else args)
        if "--json" not in given:
            return super().main(args, *others, **further)
        try:
            return super().main(args, *others, **{**further, "standalone_mode": False})
        except click.ClickException as error:
            click.echo(json.dumps({"error": error.format_message()}))
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo(json.dumps({"error": "stopped"}))
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except _FORESEEN as error:
            output = Output(ctx.meta[_AS_JSON])
            output.fail(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}")
