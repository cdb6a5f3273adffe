"""What a command prints: lines for people, or with `--json` one document on stdout and nothing else."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from local.stack_info import DEFAULT_DATA_DIR
from local.stack_options import ModelEndpoint, StackOptions

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

FAILURE_EXIT_CODE = 1


@dataclass(frozen=True)
class Output:
    """Where a command's words go."""

    as_json: bool

    def say(self, text: str = "") -> None:
        """A line for people: stdout, or stderr when stdout is for the JSON document."""
        click.echo(text, err=self.as_json)

    def result(self, document: Any) -> None:
        """The command's one JSON document; nothing without `--json`."""
        if self.as_json:
            click.echo(json.dumps(document, ensure_ascii=False))

    def fail(self, message: str, **details: Any) -> NoReturn:
        """Tell a failure and leave with exit code 1. With `--json` it is the document."""
        if self.as_json:
            click.echo(json.dumps({"error": message, **details}, ensure_ascii=False))
        else:
            click.echo(click.style(f"Error: {message}", fg="red"), err=True)
        sys.exit(FAILURE_EXIT_CODE)


def json_option(command: CommandT) -> CommandT:
    """Add `--json`, given to the command as an Output named `output`."""

    def to_output(context: click.Context, parameter: click.Parameter, value: bool) -> Output:  # noqa: ARG001 - click's
        return Output(value)

    option = click.option(
        "--json", "output", is_flag=True, callback=to_output, help="One JSON document on stdout, nothing else."
    )
    return option(command)


def data_dir_option(command: CommandT) -> CommandT:
    """Add `--data-dir`."""

    def not_empty(context: click.Context, parameter: click.Parameter, value: Path) -> Path:
        if value == Path():
            raise click.BadParameter("is empty, or the current folder; give a folder of its own", context, parameter)
        return value

    option = click.option(
        "--data-dir",
        callback=not_empty,
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_DATA_DIR,
        show_default=".local",
        help="Where data, logs and the team allowlist are kept.",
    )
    return option(command)


def stack_options(data_dir: Path, environment: dict[str, str], **further: Any) -> StackOptions:
    """Options of a stack for a command: a real model when the environment names one, else the offline one."""
    return StackOptions(data_dir=data_dir.resolve(), model=ModelEndpoint.from_environment(environment), **further)
