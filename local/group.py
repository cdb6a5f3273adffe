"""Errors that a user can do something about, told in one line."""

import sys
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from infra.synthesis import SynthesisError
from local.errors import LocalStackError
from local.output import Output
from local.ports import PortInUseError
from trace_summarization.errors import TraceSummarizationError

_FORESEEN = (
    BotoCoreError,
    ClickHouseError,
    ClientError,
    FileNotFoundError,
    LocalStackError,
    PortInUseError,
    SynthesisError,
    TraceSummarizationError,
)


class ErrorsInOneLine(click.Group):
    """A command group that tells foreseen errors in one line, with `--json` as the document."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except _FORESEEN as error:
            output = Output(as_json="--json" in sys.argv)
            output.fail(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}")
