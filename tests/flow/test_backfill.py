"""Catching up on a stack: all windows are done once, what is paid is paid once, and missing embeddings are queued."""

import gzip
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from adapters.clickhouse import ClickHouseConnection, connect
from adapters.clickhouse_embeddings import ClickHouseEmbeddingStore
from embedding.messages import parse_message
from embedding.requests import encode
from embedding.requeue import RequeueResult
from local.backfill import InvocationFailed, Purse, Work, days_of, plan
from local.backfill_report import (
    CAP_EXIT_CODE,
    INTERRUPTED_EXIT_CODE,
    requeue_and_tell,
    run_and_tell,
)
from local.backfill_target import StackNotUsable, StackTarget
from local.cli import main
from local.load_events import load_events
from local.output import FAILURE_EXIT_CODE, Output
from tests.flow.http_proxy import Fault, inserts_into
from tests.flow.workbench import END, START, Workbench, event_row
from trace_summarization.models import Window
from trace_summarization.timestamps import format_rfc3339

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
DAY = Window(datetime(2025, 1, 15, tzinfo=UTC), datetime(2025, 1, 16, tzinfo=UTC))
MODEL = "test-embedding-4"


def load_sample(bench: Workbench, name: str, directory: Path) -> tuple[int, int]:
    """Load a sample file as a new team's. Returns the team and its number of traces."""
    team = bench.new_team()
    lines = [json.loads(line) for line in gzip.decompress((SAMPLES / name).read_bytes()).splitlines()]
    path = directory / f"{team}.jsonl"
    path.write_text("\n".join(json.dumps({**line, "team_id": team}) for line in lines))
    load_events(bench.client, bench.info.clickhouse_events_table, [path])
    return team, len({line["properties"]["$ai_trace_id"] for line in lines})


def backfill(
    bench: Workbench,
    capsys: pytest.CaptureFixture[str],
    *teams: int,
    span: Window = DAY,
    minutes: int = 360,
    cap: float | None = 5.0,
    retry_failed: bool = False,
    **settings: Any,
) -> tuple[int, dict[str, Any]]:
    """What `python -m local backfill --json` does. Returns its exit code and document."""
    target = StackTarget.of_local_stack(bench.info)
    to_do = plan(target, teams, "detailed", span, minutes, retry_failed)
    capsys.readouterr()
    code = run_and_tell(target, to_do, {"batch_size": 8, **settings}, Purse.of_usd(cap), Output(as_json=True))
    return code, json.loads(capsys.readouterr().out)


def requeue(
    bench: Workbench, capsys: pytest.CaptureFixture[str], *teams: int, dry_run: bool = False, **settings: Any
) -> tuple[int, dict[str, Any]]:
    """What `python -m local backfill --embeddings-only --json` does."""
    work = [Work(team, day) for day in days_of(DAY) for team in teams]
    capsys.readouterr()
    given = {"models": [MODEL], **settings, "dry_run": dry_run}
    code = requeue_and_tell(StackTarget.of_local_stack(bench.info), work, given, Output(as_json=True))
    return code, json.loads(capsys.readouterr().out)


def test_a_day_is_summarized_in_two_goes_and_nothing_is_paid_for_twice(
    bench: Workbench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    airline, airline_traces = load_sample(bench, "events-team1-airline-tau2.jsonl.gz", tmp_path)
    frameworks, frameworks_traces = load_sample(bench, "events-team5-frameworks.jsonl.gz", tmp_path)
    teams, traces = (airline, frameworks), airline_traces + frameworks_traces
    with bench.model_requests() as requests:
        code, first = backfill(bench, capsys, *teams, cap=0.05, max_traces=1_000)
        assert (code, first["stopped"]) == (CAP_EXIT_CODE, "cap")
        assert 0 < first["cost_usd"] <= first["max_cost_usd"] == 0.05
        assert first["cost_is_exact"]
        assert 0 < first["summaries_generated"] < traces
        code, second = backfill(bench, capsys, *teams, max_traces=1_000)
    assert (code, second["stopped"], second["windows_failed"]) == (0, None, 0)
    assert len(bench.summaries(airline)) == airline_traces
    assert len(bench.summaries(frameworks)) == frameworks_traces
    assert second["windows_finished_before"] == first["windows_run"] - 1, "the one without money for all is run again"
    assert len([entry for entry in requests if entry["status"] == 200]) == traces, "one paid answer for each trace"
    for team in teams:
        windows = [(run["window_start"], run["window_end"]) for run in bench.batch_runs(team)]
        assert len(windows) == len(set(windows)) == 4
    calls = bench.model_calls()
    code, third = backfill(bench, capsys, *teams, max_traces=1_000)
    assert (code, third["windows"], third["windows_finished_before"]) == (0, 0, 8)
    assert bench.model_calls() == calls


def test_a_window_without_traces_is_done_once(bench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    team = bench.new_team()
    assert backfill(bench, capsys, team, minutes=720)[1]["windows_run"] == 2
    assert backfill(bench, capsys, team, minutes=60)[1] | {"windows": 0} == {
        **backfill(bench, capsys, team, minutes=60)[1],
        "windows_finished_before": 24,
    }


def test_a_failed_window_is_told_counted_with_what_it_spent_and_run_by_the_next_go(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    team = bench.new_team()
    bench.add_traces(team, 3)
    bench.add_traces(team, 2, start=END)
    span = Window(START, END + timedelta(hours=1))
    with bench.proxy.fault(Fault(inserts_into("trace_summarization.batch_runs"), times=3, status=503)):
        code, first = backfill(bench, capsys, team, span=span, minutes=60)
    assert (code, first["windows_failed"], first["windows_run"]) == (FAILURE_EXIT_CODE, 1, 1)
    [failure] = first["failures"]
    assert (failure["window_start"], failure["error"]) == (format_rfc3339(START), "ClickHouseUnavailable")
    spent = int(bench.ledger(team, failure["execution"])["committed"]["N"])
    assert first["cost_usd"] > spent / 1e9 > 0
    assert first["cost_is_exact"]
    calls = bench.model_calls()
    code, second = backfill(bench, capsys, team, span=span, minutes=60)
    assert (code, second["windows_run"], second["summaries_reused"]) == (0, 1, 3)
    assert bench.model_calls() == calls


def test_failed_traces_are_tried_again_only_when_asked_for(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    team = bench.new_team()
    bench.insert([event_row(team, "weak", START, text="The weak one.")])
    span = Window(START, END)
    with bench.model_faults({"match": "The weak one.", "status": 400}):
        assert backfill(bench, capsys, team, span=span)[1]["summaries_failed"] == 1
    assert backfill(bench, capsys, team, span=span)[1]["windows"] == 0
    assert backfill(bench, capsys, team, span=span, retry_failed=True)[1]["summaries_generated"] == 1


def test_an_interrupt_stops_the_execution_too(bench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    team = bench.new_team()
    bench.add_traces(team, 4)
    before = bench.model_calls()

    def interrupt_after_the_first_trace() -> None:
        while bench.model_calls() == before:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    with bench.model_faults({"kind": "delay", "seconds": 2}), bench.model_requests() as requests:
        threading.Thread(target=interrupt_after_the_first_trace, name="interrupt", daemon=True).start()
        code, told = backfill(bench, capsys, team, span=Window(START, END), batch_size=1)
        time.sleep(4)
    assert len(requests) in (1, 2), "a trace under way ends, no other is begun"
    assert (code, told["stopped"], told["windows_run"]) == (INTERRUPTED_EXIT_CODE, "interrupted", 0)
    executions = bench.info.aws("stepfunctions").list_executions(stateMachineArn=bench.info.team_machine_arn)
    states = {one["status"] for one in executions["executions"] if one["name"].startswith(f"backfill-{team}-")}
    assert states == {"ABORTED"}
    assert not bench.batch_runs(team)


def embed(bench: Workbench, messages: list[dict[str, Any]], **changes: Any) -> None:
    """Store rows for the messages, as the worker would."""
    connection = ClickHouseConnection(lambda: connect(dsn_of(bench)))
    store = ClickHouseEmbeddingStore(connection, bench.info.clickhouse_database)
    documents = [
        document
        for message in messages
        for document in parse_message(encode({**message, "models": [MODEL], **changes})).documents()
    ]
    store.save([(document, [0.5] * 4) for document in documents])


def summarized(bench: Workbench, count: int) -> tuple[int, dict[str, dict[str, Any]]]:
    """A new team with summaries. Returns it and their embedding requests by trace id."""
    team = bench.new_team()
    bench.add_traces(team, count)
    assert bench.metrics_of(team, batch_size=8)["summaries_generated"] == count
    return team, {message["document_id"]: message for message in bench.messages(team)}


def queued_again(bench: Workbench, team: int, before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of the team that came after the first ones."""
    return bench.messages(team)[len(before) :]


def test_embeddings_only_queues_exactly_what_is_missing(bench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    team, requests = summarized(bench, 6)
    other, _ = summarized(bench, 1)
    ids = sorted(requests)
    embed(bench, [requests[trace_id] for trace_id in ids[:3]])
    # A row of an older summary, and one of another model, do not count.
    embed(bench, [requests[ids[3]]], summarized_at="2025-01-15T14:00:00.000000Z")
    embed(bench, [requests[ids[4]]], models=["another-embedding-4"])
    calls = bench.model_calls()

    code, told = requeue(bench, capsys, team, dry_run=True)
    assert (code, told["summaries"], told["missing"], told["queued"]) == (0, 6, 3, 0)
    assert queued_again(bench, team, requests) == []

    code, told = requeue(bench, capsys, team)
    assert (code, told["summaries"], told["missing"], told["queued"], told["failed"]) == (0, 6, 3, 3, 0)
    queued = {message["document_id"]: message for message in queued_again(bench, team, requests)}
    assert queued == {trace_id: {**requests[trace_id], "models": [MODEL]} for trace_id in ids[3:]}
    assert len(queued_again(bench, team, requests)) == 3
    assert len(bench.messages(other)) == 1
    assert bench.model_calls() == calls, "no model is asked"

    embed(bench, list(queued.values()))
    assert requeue(bench, capsys, team)[1]["missing"] == 0


def test_of_several_models_only_those_that_are_missing_are_asked_for(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    team, requests = summarized(bench, 2)
    embed(bench, list(requests.values()))
    _, told = requeue(bench, capsys, team, models=[MODEL, "another-embedding-8"])
    assert (told["missing"], told["queued"]) == (2, 2)
    assert [message["models"] for message in queued_again(bench, team, requests)] == [["another-embedding-8"]] * 2


def test_one_mode_can_be_chosen_and_damaged_events_are_counted(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    team, requests = summarized(bench, 2)
    bench.metrics_of(team, mode="minimal")
    damaged = [str(uuid.uuid4()), "$ai_trace_summary", "{broken", START, team, f"trace_summary_{team}", START]
    bench.insert([damaged])
    _, told = requeue(bench, capsys, team, mode="minimal")
    assert (told["summaries"], told["queued"], told["damaged"]) == (2, 2, 1)
    renderings = [message["rendering"] for message in bench.messages(team)[-2:]]
    assert renderings == ["llma_trace_minimal"] * 2
    assert len(requests) == 2


def test_a_long_window_is_gone_through_in_steps(bench: Workbench) -> None:
    team, _ = summarized(bench, 5)
    target = StackTarget.of_local_stack(bench.info)
    steps: list[RequeueResult] = []
    given = {**Work(team, DAY).as_dict(), "models": [MODEL], "limit": 2}
    while not steps or steps[-1].next:
        steps.append(target.requeue({**given, **({"after": steps[-1].next} if steps else {})}))
    assert [step.queued for step in steps] == [2, 2, 1]
    assert len({message["document_id"] for message in bench.messages(team)[5:]}) == 5


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"team_id": 0}, "team_id"),
        ({"team_id": None}, "team_id"),
        ({"window_start": "noon"}, "window_start"),
        ({"window_start": "2025-01-16T00:00:00Z"}, "window_start"),
        ({"window_end": "2300-01-01T00:00:00Z"}, "window_end"),
        ({"mode": "verbose"}, "mode"),
        ({"models": []}, "models"),
        ({"models": ["text-embedding"]}, "models"),
        ({"models": "text-embedding-3-small-1536"}, "models"),
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"after": "2025-01-15"}, "after"),
        ({"after": "2025-01-15/-1/6f1a9c1e-52a4-5d0e-9a5a-6a1f0d3b7c58"}, "after"),
        ({"team": 1}, "team"),
    ],
)
def test_an_invalid_input_is_refused_by_the_name_of_its_field(
    bench: Workbench, inputs: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvocationFailed, match=f"^InvalidInput: {field}: ") as refused:
        StackTarget.of_local_stack(bench.info).requeue({**Work(1, DAY).as_dict(), **inputs})
    assert refused.value.error == "InvalidInput"


def test_a_broker_that_is_away_ends_it_with_what_is_left_to_queue(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    team, _ = summarized(bench, 3)
    later, _ = summarized(bench, 1)
    with bench.changed_function("requeue-embeddings", {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}):
        code, told = requeue(bench, capsys, team, later)
    assert (code, told["queued"], told["failed"], told["days_failed"]) == (FAILURE_EXIT_CODE, 0, 3, 1)
    assert told["failures"][0]["error"].startswith("EmbeddingNotQueued: not confirmed by the broker: ")
    assert len(told["failures"]) == 1, "of the others it takes nothing either"
    assert requeue(bench, capsys, team, later)[1]["queued"] == 4


# --- a deployed stack ------------------------------------------------------------------------------------------------


def dsn_of(bench: Workbench) -> str:
    return f"http://{bench.info.clickhouse_host}:{bench.info.clickhouse_port}"


def target_of(bench: Workbench, stack_name: str) -> StackTarget:
    return StackTarget.of_deployed_stack(stack_name, dsn_of(bench), bench.info.clickhouse_database, bench.info.aws)


def test_a_deployed_stack_is_found_by_its_outputs_and_worked_on(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = bench.new_team()
    bench.add_traces(team, 2)
    for line in bench.info.exports():
        monkeypatch.setenv(*line.removeprefix("export ").split("=", 1))
    arguments = ["backfill", "--stack-name", "deployed", "--dsn", dsn_of(bench), "--team", str(team), "--json"]
    arguments += ["--from", format_rfc3339(START), "--to", format_rfc3339(END)]
    with bench.deployed_as("deployed"):
        told = json.loads(CliRunner().invoke(main, arguments).stdout)
        assert (told["windows_run"], told["summaries_generated"]) == (1, 2)
        assert json.loads(CliRunner().invoke(main, arguments).stdout)["windows_finished_before"] == 1
        requeued = CliRunner().invoke(main, [*arguments, "--embeddings-only", "--embedding-model", MODEL])
    assert json.loads(requeued.stdout)["queued"] == 2


def test_without_teams_a_deployed_stack_s_allowlist_counts(bench: Workbench) -> None:
    parameter = bench.info.allowlist_parameter
    bench.info.aws("ssm").put_parameter(Name=parameter, Type="String", Value="[7, 8]", Overwrite=True)
    with bench.deployed_as("deployed"):
        assert target_of(bench, "deployed").allowed_teams() == [7, 8]


def test_a_stack_that_is_not_there_or_is_another_is_told(bench: Workbench) -> None:
    with pytest.raises(StackNotUsable, match="^no stack missing in this account and region"):
        target_of(bench, "missing")
    bench.create_stack("another", {"Other": "x"})
    with pytest.raises(StackNotUsable, match="^stack another has no output TeamStateMachineArn"):
        target_of(bench, "another")
