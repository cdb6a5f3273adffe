"""`search`: find a team's summaries by meaning and by words, through the deployed function's own code."""

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, get_args

import click

from embedding.rankings import Method
from embedding.search import DEFAULT_LIMIT, MAX_LIMIT
from local.commands.summaries import Rfc3339, item_lines
from local.output import Output, data_dir_option, json_option, stack_options
from local.queries import busy_hours, embedded_summaries, stored_summaries, summarized_days
from local.session import running_or_own_stack
from local.stack_info import DEFAULT_DATA_DIR, StackInfo
from trace_summarization import constants as c
from trace_summarization.models import Mode
from trace_summarization.timestamps import format_rfc3339, parse_rfc3339

_SECONDS_TO_START: Final = 30


@click.command(
    epilog="""\b
Example:
  python -m local search "customer wants money back" --team 1
  python -m local search '"gift card" update_reservation_flights' --team 1 --method words
  python -m local search --like TRACE_ID --team 1"""
)
@click.argument("text", required=False)
@click.option("--team", type=click.IntRange(min=1), required=True, help="Whose summaries.")
@click.option("--like", metavar="TRACE_ID", help="Instead of a text: find traces like this one.")
@click.option("--window-start", type=Rfc3339(), help="Traces that begin at or after this time; with --window-end.")
@click.option("--window-end", type=Rfc3339(), help="Traces that begin before this time.")
@click.option("--mode", type=click.Choice(get_args(Mode)), help="Only summaries of this mode.")
@click.option("--batch-run", metavar="ID", help="Only summaries that this batch run made.")
@click.option("--method", type=click.Choice(get_args(Method)), default="hybrid", show_default=True, help="Ranking.")
@click.option("--model", metavar="NAME", help="Embedding model to rank by. Default: the stack's first.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=DEFAULT_LIMIT, show_default=True, help="Per page.")
@click.option("--cursor", help="Where to go on: as told below the page before, with all else unchanged.")
@data_dir_option
@json_option
def search(
    text: str | None,
    team: int,
    like: str | None,
    window_start: datetime | None,
    window_end: datetime | None,
    mode: str | None,
    batch_run: str | None,
    method: str,
    model: str | None,
    limit: int,
    cursor: str | None,
    data_dir: Path,
    output: Output,
) -> None:
    """Find a team's summaries by meaning and by words."""
    filters = {"mode": mode, "batch_run_id": batch_run}
    request = {
        "team_id": team,
        "text": text,
        "trace_id": like,
        "window_start": window_start and format_rfc3339(window_start),
        "window_end": window_end and format_rfc3339(window_end),
        "filters": {name: value for name, value in filters.items() if value is not None},
        "limit": limit,
        "cursor": cursor,
        "method": method,
        "model": model,
    }
    request = {name: value for name, value in request.items() if value is not None}
    with running_or_own_stack(stack_options(data_dir, dict(os.environ)), lambda _: None) as info:
        page = search_page(info, request, output)
        hint = None if page["results"] else _hint_for_nothing(info, team, request, page, data_dir)
    for result in page["results"]:
        output.say(readable_result(result))
    for note in page["notes"]:
        output.say(click.style(f"Note: {note}", dim=True))
    if hint:
        output.say(hint)
    if page["next_cursor"]:
        output.say(f"Next page: {_command_for_next_page(request, page['next_cursor'], data_dir)}")
    output.result({**page, **({"hint": hint} if hint else {})})


def search_page(info: StackInfo, request: Mapping[str, Any], output: Output) -> dict[str, Any]:
    """The function's page; an error of it ends the command."""
    # Longer than the function may run, so that its error is told, and not the client's.
    client = info.aws("lambda", c.SEARCH_LAMBDA_TIMEOUT_SECONDS + _SECONDS_TO_START)
    answer = client.invoke(FunctionName=info.search_function, Payload=json.dumps(request))
    document: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        name = str(document.get("errorType", "Error"))
        by_words = "; without the model: --method words" if name.startswith("Model") and "text" in request else ""
        output.fail(f"{name}: {document.get('errorMessage', '')}{by_words}")
    return document


def readable_result(result: Mapping[str, Any]) -> str:
    """One result for people: title, trace, bullets, and why it is one."""
    width = min(100, shutil.get_terminal_size().columns)
    about = (
        f"trace {result['trace_id']} · {parse_rfc3339(result['timestamp']):%Y-%m-%d %H:%M:%S} UTC · {result['mode']}"
        f" · {result['batch_run_id']}"
    )
    reasons = f"Found by {'; '.join(_reasons(result['matched']))}"
    lines = [
        click.style(result["title"], bold=True),
        click.style(about, dim=True),
        *item_lines(result["bullets"], width),
        click.wrap_text(reasons, width, initial_indent="  ", subsequent_indent="    "),
        "",
    ]
    return "\n".join(lines)


def _reasons(matched: Mapping[str, Any]) -> Iterator[str]:
    """Why a result is one, for people: `meaning (similarity 0.71, place 2)`."""
    if matched["trace_id"]:
        yield "the trace's id"
    if matched["meaning_rank"] is not None:
        yield f"meaning (similarity {matched['similarity']:.2f}, place {matched['meaning_rank']})"
    if matched["words_rank"] is not None:
        phrases = [f'"{phrase}"' for phrase in matched["phrases"]]
        share = f"{matched['coverage']:.0%} of what was asked, place {matched['words_rank']}"
        yield f"words ({share}): {', '.join([*phrases, *matched['words']])}"


def _hint_for_nothing(
    info: StackInfo, team: int, request: Mapping[str, Any], page: Mapping[str, Any], data_dir: Path
) -> str:
    """What to do when a search found nothing."""
    if "cursor" in request:
        return "There are no further results."
    embedded = embedded_summaries(info, team)
    if page["model"] in embedded:
        found = f"None of team {team}'s {embedded[page['model']]} embedded summaries is found"
        narrowed = request["filters"] or "window_start" in request
        if page["method"] == "words":
            return f"{found}: no such word{' in this part of them' if narrowed else ''}. By meaning: --method vector"
        return f"{found}{': none is in this window and passes these filters' if narrowed else ''}."
    if embedded:
        others = ", ".join(f"{name} ({count})" for name, count in embedded.items())
        return (
            f"Team {team} has no vectors of {page['model']}; it has those of {others}. "
            f"Embed with it: {_command_to_embed(info, team, data_dir, '--embedding-model', page['model'])}"
        )
    if stored_summaries(info, team, 1):
        return (
            f"Team {team} has summaries, but no vectors of {page['model']} yet: they follow within seconds of a run. "
            f"If they do not: {_command_to_embed(info, team, data_dir)}"
        )
    hours = busy_hours(info, [team])
    if not hours:
        return f"Team {team} has no trace. Load events with: {_command('load', 'FILE', data_dir=data_dir)}"
    hour = max(hours, key=lambda busy: busy.traces).hour
    window = ["--window-start", format_rfc3339(hour), "--window-end", format_rfc3339(hour + timedelta(hours=1))]
    command = _command("run", "--team", str(team), *window, data_dir=data_dir)
    return f"Team {team} has no summary. Summarize with: {command}"


def _command_to_embed(info: StackInfo, team: int, data_dir: Path, *options: str) -> str:
    days = summarized_days(info, team)
    span = ["--from", format_rfc3339(days.start), "--to", format_rfc3339(days.end)] if days else []
    return _command("backfill", "--team", str(team), *span, "--embeddings-only", *options, data_dir=data_dir)


def _command(*words: str, data_dir: Path) -> str:
    elsewhere = [] if data_dir == DEFAULT_DATA_DIR else ["--data-dir", str(data_dir)]
    return shlex.join(["python", "-m", "local", *words, *elsewhere])


def _command_for_next_page(request: Mapping[str, Any], cursor: str, data_dir: Path) -> str:
    options = {
        "--team": request["team_id"],
        "--like": request.get("trace_id"),
        "--window-start": request.get("window_start"),
        "--window-end": request.get("window_end"),
        "--mode": request["filters"].get("mode"),
        "--batch-run": request["filters"].get("batch_run_id"),
        "--method": None if request["method"] == "hybrid" else request["method"],
        "--model": request.get("model"),
        "--limit": None if request["limit"] == DEFAULT_LIMIT else request["limit"],
        "--cursor": cursor,
        "--data-dir": None if data_dir == DEFAULT_DATA_DIR else data_dir,
    }
    words = ["python", "-m", "local", "search"]
    for option, value in options.items():
        words += [] if value is None else [option, str(value)]
    if "text" in request:
        words += ["--", request["text"]] if request["text"].startswith("-") else [request["text"]]
    return shlex.join(words)
