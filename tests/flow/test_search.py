"""Search as its users meet it: the function with its errors by name, and the command with its hints."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from local.cli import main
from tests.flow.workbench import END, START, WINDOW, Workbench


@pytest.fixture(scope="module")
def team(bench: Workbench) -> int:
    """A team with summaries that are embedded."""
    team_id = bench.new_team()
    bench.add_traces(team_id, 4, text="My gift card VOUCHER-77 is refused at the till.")
    bench.add_traces(team_id, 1, text="Please move my flight to Boston to Monday.")
    bench.metrics_of(team_id)
    bench.embed(team_id)
    return team_id


@dataclass(frozen=True)
class Told:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Told]


@pytest.fixture
def command(bench: Workbench) -> Iterator[Command]:
    """`python -m local`, on the tests' stack."""
    with bench.known_to_commands() as options:

        def run(*arguments: str) -> Told:
            result = CliRunner().invoke(main, [*arguments, *options], prog_name="python -m local")
            assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
            return Told(result.exit_code, result.stdout, result.stderr)

        yield run


# --- the function ----------------------------------------------------------------------------------------------------


def test_what_a_run_summarized_is_found_by_meaning_and_words(bench: Workbench, team: int) -> None:
    page = bench.invoke(bench.info.search_function, {"team_id": team, "text": "move a flight"})
    first = page["results"][0]
    assert "flight" in json.dumps(first["bullets"]).lower()
    assert first["matched"]["meaning_rank"] == 1
    assert "flight" in first["matched"]["words"]
    assert (page["model"], page["method"]) == (bench.info.embedding_models[0], "hybrid")
    assert len(page["results"]) == 5


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"text": ""}, "text: "),
        ({"text": "x" * 100_000}, "text: "),
        ({"text": "x", "limit": 101}, "limit: 101"),
        ({"trace_id": "unknown"}, "trace_id: team "),
        ({"text": "x", "cursor": "other"}, "cursor: "),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_searched_is_invalid_input(
    bench: Workbench, team: int, request_: dict[str, object], message: str
) -> None:
    payload = json.dumps({"team_id": team, **request_})
    answer = bench.info.aws("lambda").invoke(FunctionName=bench.info.search_function, Payload=payload)
    document = json.loads(answer["Payload"].read())
    assert answer["FunctionError"] == "Unhandled"
    assert document["errorType"] == "InvalidInput"
    assert document["errorMessage"].startswith(message)


def test_without_the_embedding_endpoint_words_and_a_trace_still_find(bench: Workbench, team: int) -> None:
    known = next(iter(bench.summaries(team)))
    with bench.changed_function("search-summaries", {"EMBEDDING_SECRET_ARN": "arn:aws:secretsmanager:none"}):
        by_words = bench.invoke(bench.info.search_function, {"team_id": team, "text": "voucher", "method": "words"})
        like = bench.invoke(bench.info.search_function, {"team_id": team, "trace_id": known})
        payload = json.dumps({"team_id": team, "text": "voucher"})
        by_both = bench.info.aws("lambda").invoke(FunctionName=bench.info.search_function, Payload=payload)
    assert len(by_words["results"]) == 4
    assert len(like["results"]) == 4
    assert json.loads(by_both["Payload"].read())["errorType"] == "InvalidConfiguration"


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_tells_summaries_and_why_they_were_found(command: Command, team: int) -> None:
    told = command("search", "VOUCHER-77", "--team", str(team), "--limit", "1")
    assert told.returncode == 0
    assert "· detailed · team_" in told.stdout
    assert "Found by meaning (similarity 0." in told.stdout
    assert re.search(
        r'words \(100% of what was asked, place [1-4]\): "voucher 77", voucher, 77 ', " ".join(told.stdout.split())
    )


def test_the_command_for_the_next_page_is_told_until_there_is_none(command: Command, team: int) -> None:
    arguments = ["search", "It's a gift card", "--team", str(team), "--limit", "2", "--mode", "detailed"]
    window = ["--window-start", WINDOW["window_start"], "--window-end", WINDOW["window_end"]]
    seen: list[str] = []
    told = command(*arguments, *window)
    while "Next page: " in told.stdout:
        seen += [line for line in told.stdout.splitlines() if line.startswith("trace ")]
        following = shlex.split(told.stdout.rpartition("Next page: ")[2])
        assert following[:3] == ["python", "-m", "local"]
        place = following.index("--data-dir")
        told = command(*following[3:place], *following[place + 2 :])
    seen += [line for line in told.stdout.splitlines() if line.startswith("trace ")]
    assert len(seen) == len(set(seen)) == 5


def test_json_is_the_functions_page(command: Command, bench: Workbench, team: int) -> None:
    told = command("search", "gift card", "--team", str(team), "--json")
    assert json.loads(told.stdout) == bench.invoke(bench.info.search_function, {"team_id": team, "text": "gift card"})


def test_traces_like_one_are_told(command: Command, bench: Workbench, team: int) -> None:
    known = next(iter(bench.summaries(team)))
    told = command("search", "--like", known, "--team", str(team))
    assert told.stdout.count("Found by meaning") == 4
    assert f"trace {known}" not in told.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--cursor", "none"], "InvalidInput: cursor: "),
        (["x", "--model", "none"], "InvalidInput: model: "),
        ([], "InvalidInput: text, trace_id: give exactly one of them"),
        (["--like", "none"], "InvalidInput: trace_id: team "),
    ],
    ids=str,
)
def test_a_refusal_is_one_line_and_exit_code_1(command: Command, team: int, arguments: list[str], message: str) -> None:
    told = command("search", *arguments, "--team", str(team))
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"Error: {message}")
    assert len(told.stderr.splitlines()) == 1


def test_who_finds_nothing_is_told_what_to_do(command: Command, bench: Workbench, team: int) -> None:
    def hint(*arguments: str) -> str:
        document = json.loads(command("search", *arguments, "--json").stdout)
        assert document["results"] == []
        return str(document["hint"])

    assert f"Load events with: python -m local load FILE --data-dir {bench.info.data_dir}" in hint(
        "x", "--team", "999999"
    )
    unsummarized = bench.new_team()
    bench.add_traces(unsummarized, 1)
    command_to_run = hint("x", "--team", str(unsummarized)).partition("Summarize with: ")[2]
    assert command_to_run == (
        f"python -m local run --team {unsummarized} --window-start {WINDOW['window_start']}"
        f" --window-end {WINDOW['window_end']} --data-dir {bench.info.data_dir}"
    )
    assert hint("zzzz", "--team", str(team), "--method", "words").startswith(
        f"None of team {team}'s 5 embedded summaries is found: no such word."
    )
    elsewhere = ["--window-start", "2020-01-01T00:00:00Z", "--window-end", "2020-01-02T00:00:00Z"]
    assert hint("gift", "--team", str(team), *elsewhere).endswith(
        "is found: none is in this window and passes these filters."
    )
    unembedded = bench.new_team()
    bench.add_traces(unembedded, 1)
    bench.metrics_of(unembedded)
    assert hint("x", "--team", str(unembedded)).endswith(
        f"python -m local backfill --team {unembedded} --from {START:%Y-%m-%dT00:00:00Z}"
        f" --to {END:%Y-%m-}16T00:00:00Z --embeddings-only --data-dir {bench.info.data_dir}"
    )
