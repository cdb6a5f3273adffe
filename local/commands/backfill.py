"""`backfill`: catch up on past windows within one amount of money, or on embeddings that are missing."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from adapters.settings import ClickHouseSettings
from embedding.models import EmbeddingModelName
from local.backfill import Purse, Target, Work, checked_span, days_of, plan
from local.backfill_report import requeue_and_tell, run_and_tell, tell_plan
from local.backfill_target import StackTarget
from local.commands.run import refuse_another_model
from local.output import Output, data_dir_option, json_option, stack_options
from local.session import running_or_own_stack
from trace_summarization import constants as c
from trace_summarization.inputs import parse_inputs
from trace_summarization.models import BatchSummarizationInputs
from trace_summarization.timestamps import parse_rfc3339

_MOST_USD = 1_000_000


class _Time(click.ParamType[datetime]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return value if isinstance(value, datetime) else parse_rfc3339(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


class _Usd(click.ParamType[float]):
    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            amount = float(value)
        except ValueError:
            amount = math.nan
        if not 0 < amount <= _MOST_USD:
            self.fail(f"{value!r} is not an amount above 0, at most {_MOST_USD:,}", param, ctx)
        return amount


@click.command(
    epilog="""\b
Example:
  python -m local backfill --from 2025-01-15T00:00:00Z --to 2025-01-16T00:00:00Z --max-cost-usd 2
  python -m local backfill --from 2025-01-01T00:00:00Z --to 2025-02-01T00:00:00Z --embeddings-only
  python -m local backfill --from 2025-01-15T00:00:00Z --to 2025-01-16T00:00:00Z --stack-name trace-summarization"""
)
@click.option("--from", "start", type=_Time(), required=True, help="Start of the first window, RFC 3339.")
@click.option("--to", "end", type=_Time(), required=True, help="End of the last window, itself excluded.")
@click.option("--team", "teams", type=int, multiple=True, help="A team; may be repeated.  [default: the allowlist]")
@click.option(
    "--window-minutes",
    type=click.IntRange(1, c.MAX_WINDOW_MINUTES),
    default=c.DEFAULT_WINDOW_MINUTES,
    show_default=True,
    help="Length of a window.",
)
@click.option("--mode", help=f"detailed or minimal.  [default: {c.DEFAULT_MODE}; with --embeddings-only both]")
@click.option("--max-traces", type=int, help="Traces per team and window at most.")
@click.option("--model", help="Model that summarizes.")
@click.option("--batch-size", type=int, help="Traces of a team summarized at once.")
@click.option(
    "--max-cost-usd",
    type=_Usd(),
    default=c.DEFAULT_MAX_COST_USD,
    show_default=True,
    help="The most that the whole backfill may spend on the model.",
)
@click.option("--no-cap", is_flag=True, help="For a model without a price: each run's own cap is the only one.")
@click.option("--retry-failed", is_flag=True, help="Also run windows again in which traces failed.")
@click.option("--embeddings-only", is_flag=True, help="Run nothing: queue the embeddings that are missing.")
@click.option(
    "--embedding-model",
    "embedding_models",
    multiple=True,
    help="A model whose embeddings are wanted; may be repeated.  [default: the configured ones]",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and start nothing.")
@click.option("--stack-name", help="Work on this CloudFormation stack instead of the one on this machine; with --dsn.")
@click.option(
    "--dsn",
    envvar="CLICKHOUSE_DSN",
    help="That stack's ClickHouse: https://user:password@host:port; or CLICKHOUSE_DSN.",
)
@click.option(
    "--database",
    default=ClickHouseSettings.model_fields["clickhouse_database"].default,
    show_default=True,
    help="That stack's database of our own tables.",
)
@data_dir_option
@json_option
def backfill(
    start: datetime,
    end: datetime,
    teams: tuple[int, ...],
    window_minutes: int,
    max_cost_usd: float,
    no_cap: bool,
    retry_failed: bool,
    embeddings_only: bool,
    embedding_models: tuple[str, ...],
    dry_run: bool,
    stack_name: str | None,
    dsn: str | None,
    database: str,
    data_dir: Path,
    output: Output,
    **inputs: Any,
) -> None:
    """Summarize past windows, oldest first, skipping those that are done; stop at a cap in money.

    What is done is read from batch_runs: the same command again goes on. Leaves with 0 when all is done, 1 when
    something failed, 3 when the money is used up.
    """
    _refuse_what_does_not_go_together(click.get_current_context(), embeddings_only)
    span = checked_span(start, end, datetime.now(UTC))
    given = {name: value for name, value in inputs.items() if value is not None}
    for team in teams or (1,):  # whether the machine takes the settings, before anything is started
        parse_inputs(BatchSummarizationInputs, {**given, "team_id": team})
    for name in embedding_models:
        _check_model_name(name)
    with _target(stack_name, dsn, database, data_dir, output) as target:
        team_ids = list(dict.fromkeys(teams)) or target.allowed_teams()
        if not team_ids:
            output.fail("The team allowlist is empty: name teams with --team, or set it")
        if embeddings_only:
            work = [Work(team, day) for day in days_of(span) for team in team_ids]
            models = {"models": list(embedding_models)} if embedding_models else {}
            sys.exit(requeue_and_tell(target, work, {**given, **models, "dry_run": dry_run}, output))
        to_do = plan(target, team_ids, given.get("mode", c.DEFAULT_MODE), span, window_minutes, retry_failed)
        if dry_run:
            sys.exit(tell_plan(to_do, output))
        purse = Purse.of_usd(None if no_cap else max_cost_usd)
        sys.exit(run_and_tell(target, to_do, given, purse, output))


def _check_model_name(name: str) -> None:
    try:
        EmbeddingModelName.parse(name)
    except ValueError as error:
        raise click.UsageError(f"--embedding-model: {name!r} {error}") from error


def _refuse_what_does_not_go_together(context: click.Context, embeddings_only: bool) -> None:
    def given(name: str) -> bool:
        return context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT

    if embeddings_only:
        of_runs = ("window_minutes", "max_traces", "model", "batch_size", "max_cost_usd", "no_cap", "retry_failed")
        for name in filter(given, of_runs):
            raise click.UsageError(f"--{name.replace('_', '-')} is of no use with --embeddings-only: nothing is run")
    elif given("embedding_models"):
        raise click.UsageError("--embedding-model goes with --embeddings-only")
    if given("no_cap") and given("max_cost_usd"):
        raise click.UsageError("give --max-cost-usd or --no-cap, not both")


@contextmanager
def _target(stack_name: str | None, dsn: str | None, database: str, data_dir: Path, output: Output) -> Iterator[Target]:
    if stack_name is not None:
        if not dsn:
            raise click.UsageError("--stack-name needs --dsn (or CLICKHOUSE_DSN), to read which windows are done")
        yield StackTarget.of_deployed_stack(stack_name, dsn, database)
        return
    with running_or_own_stack(stack_options(data_dir, dict(os.environ)), output.say) as info:
        refuse_another_model(info, output)
        output.say(f"Model: {info.model_told()}")
        yield StackTarget.of_local_stack(info)
