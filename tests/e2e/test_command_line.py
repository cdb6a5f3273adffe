"""The command line as a user meets it: own processes, real ports, one JSON document with --json."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, TopicPartition

from local.cli import main
from local.stack_info import StackInfo

ROOT = Path(__file__).resolve().parents[2]
HOUR = ["--window-start", "2025-01-15T14:00:00Z", "--window-end", "2025-01-15T15:00:00Z"]
SPAN = ["--from", "2025-01-15T14:00:00Z", "--to", "2025-01-15T15:00:00Z"]
GATEWAY = ROOT / "samples" / "events-team3-gateway.jsonl.gz"
FRAMEWORKS = ROOT / "samples" / "events-team5-frameworks.jsonl.gz"


@dataclass(frozen=True)
class Told:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class CommandLine:
    """`python -m local` on a data directory, with a stack that runs."""

    data_dir: Path
    up: subprocess.Popen[str]
    info: dict[str, Any]

    def __call__(self, *arguments: str) -> Told:
        """Run a command on the stack that runs, in this process: it needs no engine of its own."""
        result = CliRunner().invoke(main, [*arguments, "--data-dir", str(self.data_dir)], prog_name="python -m local")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Told(result.exit_code, result.stdout, result.stderr)

    def json(self, *arguments: str) -> Any:
        """The one JSON document that the command prints."""
        told = self(*arguments, "--json")
        assert told.returncode == 0, told.stdout + told.stderr
        return json.loads(told.stdout)


def in_a_process_of_its_own(*arguments: str, environment: dict[str, str] | None = None) -> Told:
    told = subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        env={**_environment(), **(environment or {})},
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    return Told(told.returncode, told.stdout, told.stderr)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTHONPATH"))}


def children_of(session: int) -> list[str]:
    """Processes that name the stack's data directory or were started by it."""
    told = subprocess.run(["ps", "-eo", "pid,ppid,args"], check=True, capture_output=True, text=True)
    return [line for line in told.stdout.splitlines() if line.split()[1] == str(session)]


@pytest.fixture(scope="module")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    data_dir = tmp_path_factory.mktemp("data")
    command = [sys.executable, "-m", "local", "up", "--json", "--data-dir", str(data_dir), "--workers", "4"]
    up = subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert up.stdout is not None
    line = up.stdout.readline()
    assert line, "the stack did not start"
    yield CommandLine(data_dir, up, json.loads(line))
    if up.poll() is None:
        up.send_signal(signal.SIGINT)
        up.wait(30)
    up.stdout.close()


def test_every_command_has_help_with_an_example() -> None:
    for command in (
        "up",
        "load",
        "run",
        "backfill",
        "estimate",
        "teams",
        "summaries",
        "search",
        "preview",
        "schedule",
        "doctor",
        "demo",
        "schema apply",
    ):
        told = CliRunner().invoke(main, [*command.split(), "--help"])
        assert told.exit_code == 0
        assert "Example:" in told.output, command


def test_the_stack_tells_endpoints_that_answer(command_line: CommandLine) -> None:
    for port in (
        command_line.info["clickhouse_port"],
        int(command_line.info["aws_endpoint_url"].rpartition(":")[2]),
        int(command_line.info["kafka_bootstrap_servers"].rpartition(":")[2]),
    ):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_load_run_and_read(command_line: CommandLine) -> None:
    loaded = command_line.json("load", str(FRAMEWORKS), str(GATEWAY))
    assert loaded["rejected_count"] == 0
    assert loaded["teams"] == [3, 5]
    ran = command_line.json("run", "--team", "3", "--max-traces", "5", *HOUR)
    assert ran["status"] == "SUCCEEDED"
    assert ran["result"]["metrics"]["summaries_generated"] == 5
    rows = command_line.json("summaries", "--team", "3")
    assert len(rows) == 5
    assert all(row["title"] for row in rows)
    text = command_line.json("preview", rows[0]["trace_id"], "--team", "3")
    assert text["characters"] == rows[0]["text_repr_length"]
    told = command_line("run", "--team", "3", "--max-traces", "5", *HOUR)
    assert "5 summaries (0 new, 5 reused)" in told.stdout
    readable = command_line("summaries", "--team", "3", "--limit", "1").stdout
    assert rows[-1]["trace_id"] in readable


def test_the_coordinator_goes_over_the_allowlist(command_line: CommandLine) -> None:
    command_line.json("load", str(FRAMEWORKS), str(GATEWAY))
    assert command_line.json("teams", "--set", "3,5") == {"team_ids": [3, 5]}
    assert command_line.json("teams") == {"team_ids": [3, 5]}
    ran = command_line.json("run", "--max-traces", "3", "--mode", "minimal", *HOUR)
    assert ran["result"]["teams_failed"] == 0
    assert ran["result"]["total_summaries"] == ran["result"]["total_traces"] == 4


def test_the_demo_summarizes_every_sampled_trace_once(command_line: CommandLine) -> None:
    first = command_line("demo")
    assert first.returncode == 0, first.stderr
    assert _told_number(first, "teams_failed") == 0
    summaries = _told_number(first, "total_summaries")
    assert summaries == _told_number(first, "total_traces") > 100
    assert "Three of the summaries" in first.stdout
    assert "not embedded after" not in first.stdout
    assert first.stdout.count("Found by ") == 3
    assert '"gift card balance is not enough"' in first.stdout, "found as a phrase"
    assert "Try next" in first.stdout
    info = StackInfo.model_validate(command_line.info)
    rows, calls = _stored_summaries(info), _model_calls(info)
    assert all(set(_PROPERTIES) <= set(json.loads(properties)) for _, properties in rows)
    window = "window_start >= '2025-01-15 14:00:00' AND window_end <= '2025-01-15 15:00:00' AND mode = 'detailed'"
    with info.clickhouse() as client:
        query = f"SELECT trace_id FROM trace_summarization.trace_summaries WHERE {window}"
        summarized = {row[0] for row in client.query(query).result_rows}
    assert summarized <= _queued_documents(info), "one request at least for each summary"

    again = command_line("demo")
    assert _told_number(again, "total_summaries") == summaries
    assert _stored_summaries(info) == rows
    assert _model_calls(info) == calls


_PROPERTIES = (
    "$ai_trace_id", "$ai_batch_run_id", "$ai_summary_mode", "$ai_summary_title", "$ai_summary_flow_diagram",
    "$ai_summary_bullets", "$ai_summary_interesting_notes", "$ai_text_repr_length", "$ai_event_count",
    "trace_timestamp", "$ai_window_start", "$ai_window_end", "$ai_execution_id", "$ai_summary_model",
    "$ai_summary_prompt_version", "$ai_summary_content_hash", "$ai_summary_input_tokens", "$ai_summary_output_tokens",
)  # fmt: skip


def _told_number(told: Told, name: str) -> int:
    found = re.search(rf"^  {name} +(\d+)$", told.stdout, re.MULTILINE)
    assert found, told.stdout
    return int(found[1])


def _stored_summaries(info: StackInfo) -> list[tuple[Any, ...]]:
    with info.clickhouse() as client:
        query = "SELECT toString(uuid), properties FROM events WHERE event = '$ai_trace_summary' ORDER BY ALL"
        return [tuple(row) for row in client.query(query).result_rows]


def _model_calls(info: StackInfo) -> int:
    with urllib.request.urlopen(info.model_base_url.removesuffix("/v1") + "/_requests", timeout=10) as answer:
        return int(json.loads(answer.read())["count"])


def _queued_documents(info: StackInfo) -> set[str]:
    consumer = KafkaConsumer(bootstrap_servers=info.kafka_bootstrap_servers, group_id=None)
    partition = TopicPartition(info.kafka_topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    documents = set()
    while batch := consumer.poll(timeout_ms=700):
        documents |= {json.loads(record.value)["document_id"] for records in batch.values() for record in records}
    consumer.close()
    return documents


def test_the_readme_s_commands_run_as_they_stand(command_line: CommandLine) -> None:
    [block] = re.findall(r"## Use it\n\n```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line.partition("#")[0].strip() for line in block.replace("\\\n", " ").splitlines()]
    commands = [line.removeprefix("python -m local ") for line in lines if line.startswith("python -m local ")]
    assert commands[0] == "up", "the fixture has done that"
    for command in commands[1:]:
        words = [
            str(match)
            for word in shlex.split(command)
            for match in (sorted(ROOT.glob(word)) if "*" in word else [word])
        ]
        told = command_line(*words)
        assert told.returncode == 0, command + told.stderr


def test_an_estimate_tells_traces_tokens_and_cost_and_asks_no_model(command_line: CommandLine) -> None:
    command_line.json("load", str(GATEWAY))
    calls = _model_calls(StackInfo.model_validate(command_line.info))
    window = ["--window-start", "2025-01-15T00:00:00Z", "--window-end", "2025-01-16T00:00:00Z", "--max-traces", "4"]
    told = command_line.json("estimate", "--team", "3", "--model", "gpt-5-mini", "--max-cost-usd", "0.5", *window)
    [team] = told["teams"]
    assert (told["model"], told["traces"], team["team_id"], team["max_cost_usd"]) == ("gpt-5-mini", 4, 3, 0.5)
    assert told["input_tokens"] == team["estimated_input_tokens"] > 4_000
    assert told["estimated_cost_usd"] == team["estimated_cost_usd"] > 0.001
    shown = command_line("estimate", "--team", "3", *window)
    assert shown.returncode == 0
    assert re.search(r"^  team 3 +4 traces .* input tokens +0\.\d{4} USD of at most 5$", shown.stdout, re.MULTILINE)
    assert _model_calls(StackInfo.model_validate(command_line.info)) == calls


def test_an_estimate_of_a_model_without_a_price_says_so(command_line: CommandLine) -> None:
    command_line.json("load", str(GATEWAY))
    told = command_line("estimate", "--team", "3", "--model", "my-own", "--max-traces", "1", *HOUR)
    assert "unknown cost (no price) with my-own" in told.stdout
    refused = command_line("estimate", "--team", "3", "--model", "my-own", "--max-cost-usd", "1", *HOUR)
    assert refused.returncode == 1
    assert "max_cost_usd: 1 cannot be kept" in refused.stderr


def test_an_estimate_that_misses_a_team_has_no_cost_and_fails(command_line: CommandLine) -> None:
    command_line.json("load", str(GATEWAY), str(FRAMEWORKS))
    command_line.json("teams", "--set", "3,5")
    info = StackInfo.model_validate(command_line.info)
    _put_team_settings(info, '{"teams": {"3": {"max_cost_usd": -1}}}')
    window = ["--window-start", "2025-01-15T00:00:00Z", "--window-end", "2025-01-16T00:00:00Z", "--max-traces", "1"]
    try:
        told = command_line("estimate", *window, "--json")
    finally:
        _put_team_settings(info, "{}")
    document = json.loads(told.stdout)
    assert told.returncode == 1
    assert document["teams_failed"] == len(document["failed_team_ids"]) > 0
    assert 3 in document["failed_team_ids"]
    assert (document["summaries_failed"], document["estimated_cost_usd"]) == (0, None)
    assert "Could not be estimated: " in told.stderr


def _put_team_settings(info: StackInfo, text: str) -> None:
    info.aws("ssm").put_parameter(Name=info.team_settings_parameter, Type="String", Value=text, Overwrite=True)


def test_a_backfill_goes_over_its_windows_once_and_tells_them(command_line: CommandLine) -> None:
    command_line.json("load", str(FRAMEWORKS))
    span = ["--from", "2025-01-15T12:00:00Z", "--to", "2025-01-15T18:00:00Z", "--window-minutes", "180"]
    planned = command_line.json("backfill", "--team", "5", *span, "--dry-run")
    assert (len(planned["windows"]), planned["windows_finished_before"]) == (2, 0)
    told = command_line("backfill", "--team", "5", *span)
    assert told.returncode == 0, told.stderr
    assert re.search(
        r"^\[2/2\] team 5 .*15:00:00Z to 2025-01-15T18:00:00Z  \d traces, \d summ.* left$", told.stdout, re.M
    )
    assert command_line.json("backfill", "--team", "5", *span)["windows_finished_before"] == 2


def test_missing_embeddings_are_counted_and_queued(command_line: CommandLine) -> None:
    command_line.json("load", str(FRAMEWORKS))
    command_line.json("run", "--team", "5", *HOUR)
    wanted = ["--team", "5", *SPAN, "--embeddings-only", "--embedding-model", "another-embedding-8"]
    counted = command_line.json("backfill", *wanted, "--dry-run")
    assert counted["missing"] == counted["summaries"] > 0
    assert counted["queued"] == 0
    assert command_line.json("backfill", *wanted)["queued"] == counted["missing"]


def test_an_empty_window_names_the_nearest_hours_with_data(command_line: CommandLine) -> None:
    command_line.json("load", str(FRAMEWORKS), str(GATEWAY))
    empty = ["--window-start", "2025-01-16T03:00:00Z", "--window-end", "2025-01-16T04:00:00Z"]
    ran = command_line.json("run", "--team", "3", *empty)
    assert ran["result"]["metrics"]["traces_queried"] == 0
    assert ran["nearest_hours"][-1]["hour"] == "2025-01-15T23:00:00Z"
    told = command_line("run", "--team", "3")
    assert "The window holds no trace. Nearest hours that do: 2025-01-15T" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--team", "0"], "InvalidInput: team_id: 0 is not allowed; allowed is an integer from 1 to"),
        (
            ["run", "--team", "3", "--batch-size", "41"],
            "batch_size: 41 is not allowed; allowed is an integer from 1 to 40",
        ),
        (["run", "--window-start", "2025-01-15T14:00:00Z"], "window_end: required when window_start is given"),
        (
            ["run", "--team", "3", "--window-start", "2025-01-15T14:00:00Z", "--window-end", "2999-01-01T00:00:00Z"],
            "future",
        ),
        (
            ["backfill", "--from", "2025-01-15T14:00:00Z", "--to", "2999-01-01T00:00:00Z"],
            "--to: 2999-01-01T00:00:00Z is in the future",
        ),
        (["backfill", *SPAN, "--team", "3", "--batch-size", "41"], "batch_size: 41 is not allowed"),
        (["teams", "--set", "1,x"], "InvalidAllowlist: team allowlist: not JSON"),
        (["preview", "no-such-trace", "--team", "3"], "team 3 has no trace 'no-such-trace'"),
        (["up"], "a stack runs on this folder already"),
    ],
)
def test_mistakes_are_told_in_one_line(command_line: CommandLine, arguments: list[str], message: str) -> None:
    told = command_line(*arguments)
    assert told.returncode == 1
    assert message in told.stderr
    assert "Traceback" not in told.stderr
    document = json.loads(command_line(*arguments, "--json").stdout)
    assert message in document["error"]


def test_a_run_that_finds_nothing_says_what_to_do(command_line: CommandLine) -> None:
    command_line.json("load", str(FRAMEWORKS))
    assert command_line.json("run", "--team", "999999", *HOUR)["hint"].startswith(
        "Team 999999 has no traces; teams that"
    )
    command_line.json("teams", "--set", "")
    assert "python -m local teams --set" in command_line.json("run", *HOUR)["hint"]
    assert command_line.json("teams", "--set", "[3, 5]") == {"team_ids": [3, 5]}


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--team", "x"],
        ["run", "--bogus"],
        ["summaries"],
        ["no-such-command"],
        ["backfill", "--from", "yesterday", "--to", "2025-01-16T00:00:00Z"],
        ["backfill", *SPAN, "--max-cost-usd", "nan"],
        ["backfill", *SPAN, "--max-cost-usd", "1", "--no-cap"],
        ["backfill", *SPAN, "--embeddings-only", "--max-traces", "5"],
        ["backfill", *SPAN, "--embedding-model", "text-embedding-3-small-1536"],
        ["backfill", *SPAN, "--embeddings-only", "--embedding-model", "text-embedding"],
        ["backfill", *SPAN, "--stack-name", "trace-summarization"],
    ],
)
def test_a_wrong_call_is_a_document_too(arguments: list[str]) -> None:
    told = CliRunner().invoke(main, [*arguments, "--json"])
    assert told.exit_code == 2
    assert json.loads(told.stdout)["error"]


def test_a_model_that_the_running_stack_does_not_use_is_refused(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    told = command_line("run", "--team", "5", *HOUR)
    assert told.returncode == 1
    assert "ask for http://127.0.0.1:9/v1, but the running stack uses offline" in told.stderr


def test_a_model_that_refuses_fails_the_run_with_its_reason(tmp_path: Path) -> None:
    data = ["--data-dir", str(tmp_path / "data")]
    refused = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "none"}
    assert in_a_process_of_its_own("load", str(FRAMEWORKS), *data).returncode == 0
    told = in_a_process_of_its_own("run", "--team", "5", "--max-traces", "1", *HOUR, *data, environment=refused)
    assert told.returncode == 1
    assert "Model: http://127.0.0.1:9/v1 (costs what it charges)" in told.stdout
    assert "1 trace: ModelUnavailable: connection failed" in told.stdout


@pytest.mark.parametrize("content", [b"", b"no event\n", b"\x1f\x8b\x08 broken gzip"])
def test_a_file_without_events_fails_the_load(command_line: CommandLine, tmp_path: Path, content: bytes) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(content)
    assert command_line("load", str(events)).returncode == 1


def test_folders_that_cannot_be_used_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (str(tmp_path / "file" / "below"), ""):
        told = CliRunner().invoke(main, ["teams", "--data-dir", folder])
        assert told.exit_code in (1, 2)
        assert told.stderr.splitlines()[-1].startswith("Error: ")
    assert CliRunner().invoke(main, ["doctor", "--data-dir", str(tmp_path / "file" / "below")]).exit_code == 1


def test_broken_lines_are_told_by_number(command_line: CommandLine, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    sound = json.loads(_first_line_of(FRAMEWORKS))
    events.write_text(
        "\n".join(["not JSON", json.dumps({**sound, "team_id": True}), json.dumps({**sound, "team_id": 9})])
    )
    told = command_line("load", str(events))
    assert told.returncode == 0
    assert f"rejected {events}:1: " in told.stdout
    assert f"rejected {events}:2: team_id" in told.stdout
    assert "Loaded 1 events" in told.stdout


def _first_line_of(path: Path) -> str:
    told = subprocess.run(["gzip", "-dc", str(path)], check=True, capture_output=True, text=True)
    return told.stdout.splitlines()[0]


def test_load_now_shifts_the_last_event_to_15_minutes_ago(command_line: CommandLine, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    sound = json.loads(_first_line_of(FRAMEWORKS))
    events.write_text(json.dumps({**sound, "team_id": 77}))
    command_line.json("load", "--now", str(events))
    ran = command_line.json("run", "--team", "77")
    assert ran["result"]["metrics"]["summaries_generated"] == 1


def test_the_schedule_fires_the_rule_s_own_expression(command_line: CommandLine) -> None:
    shown = command_line.json("schedule", "--show")
    [rule] = shown["rules"]
    assert rule["expression"] == "cron(0 * * * ? *)"
    assert all(moment.endswith(":00:00Z") for moment in rule["next"])
    fired = command_line.json("schedule", "--due-now", "--count", "1")
    [started] = fired["started"]
    assert started["time"].endswith(":00:00Z")
    assert "execution" in started


def test_the_doctor_finds_nothing_missing(command_line: CommandLine) -> None:
    document = command_line.json("doctor")
    assert document["ok"], [check for check in document["checks"] if check["found"] is None]


def test_ctrl_c_leaves_no_child_and_keeps_the_data(command_line: CommandLine) -> None:
    command_line.json("load", str(FRAMEWORKS))
    command_line.json("run", "--team", "5", "--max-traces", "1", *HOUR)
    command_line.json("teams", "--set", "5")
    before = command_line.json("summaries", "--team", "5")
    children = children_of(command_line.up.pid)
    assert children
    command_line.up.send_signal(signal.SIGINT)
    assert command_line.up.wait(30) == 0
    time.sleep(0.2)
    alive = {line.split()[0] for line in _all_processes()}
    assert not [line for line in children if line.split()[0] in alive]
    # The next command starts a stack of its own on the same data.
    data = ["--json", "--data-dir", str(command_line.data_dir)]
    assert json.loads(in_a_process_of_its_own("summaries", "--team", "5", *data).stdout) == before
    assert json.loads(in_a_process_of_its_own("teams", *data).stdout) == {"team_ids": [5]}


def _all_processes() -> list[str]:
    told = subprocess.run(["ps", "-eo", "pid,args"], check=True, capture_output=True, text=True)
    return [line for line in told.stdout.splitlines() if "<defunct>" not in line]
