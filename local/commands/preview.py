"""`preview`: the text that the model would see of a trace."""

import os
from pathlib import Path

import click

from adapters.clickhouse import ClickHouseConnection, ClickHouseTraceStore
from local.output import Output, data_dir_option, json_option, stack_options
from local.queries import window_of_trace
from local.session import running_or_own_stack
from trace_summarization import constants as c
from trace_summarization.redaction import Redactor
from trace_summarization.text_repr import fit, render_trace
from trace_summarization.tokens import count_tokens, is_counted_exactly, with_margin, without_margin


@click.command(
    epilog="""\b
Example:
  python -m local preview 1947a425-b9e5-5f95-9374-3c17cc80abbc --team 1"""
)
@click.argument("trace_id")
@click.option("--team", type=click.IntRange(min=1), required=True, help="Whose trace.")
@click.option("--model", default=c.DEFAULT_MODEL, show_default=True, help="Whose tokens are counted.")
@click.option(
    "--max-input-tokens",
    type=click.IntRange(min=1),
    default=c.DEFAULT_MAX_INPUT_TOKENS,
    show_default=True,
    help="Shorten a longer text to so many tokens.",
)
@click.option("--redaction/--no-redaction", default=True, show_default=True, help="Put placeholders for personal data.")
@data_dir_option
@json_option
def preview(
    trace_id: str, team: int, model: str, max_input_tokens: int, redaction: bool, data_dir: Path, output: Output
) -> None:
    """Show a trace as the model would see it: no model is called."""
    with running_or_own_stack(stack_options(data_dir, dict(os.environ)), lambda _: None) as info:
        window = window_of_trace(info, team, trace_id)
        if window is None:
            output.fail(f"team {team} has no trace {trace_id!r}")
        store = ClickHouseTraceStore(ClickHouseConnection(info.clickhouse), info.clickhouse_database)
        extent = store.extent(team, trace_id, window)
        if extent is None:
            output.fail(f"team {team} has no events of trace {trace_id!r} within a day of its first")
        redactor = Redactor()
        events = store.events(team, trace_id, extent)
    whole = render_trace(trace_id, events, redactor.redact if redaction else None)
    rendered = fit(whole, without_margin(max_input_tokens, model))
    output.say(rendered.text)
    output.result(
        {
            "trace_id": trace_id,
            "team_id": team,
            "characters": len(rendered.text),
            "tokens": with_margin(count_tokens(rendered.text), model),
            "tokens_are_estimated": not is_counted_exactly(model),
            "tokens_of_the_whole": with_margin(count_tokens(whole.text), model),
            "redacted": dict(redactor.counts),
            "text": rendered.text,
        }
    )
