"""Runs at their limits, and every Retry and Catch of both machines taken."""

import json
from datetime import timedelta
from typing import Any

import pytest

from local.executions import start
from tests.flow.http_proxy import Fault, HttpProxy, inserts_into, of_team
from tests.flow.workbench import START, WINDOW, Workbench
from trace_summarization import constants as c

SUMMARIZE = "trace-summarization-summarize-trace"


def largest_payload(history: list[dict[str, Any]]) -> int:
    """Bytes of the largest input or output in an execution's history."""
    sizes = [
        len(text.encode())
        for event in history
        for details in event.values()
        if isinstance(details, dict)
        for text in (details.get("input"), details.get("output"))
        if text
    ]
    return max(sizes)


def thousand_long_ids(bench: Workbench, team: int, text: str) -> None:
    """1,000 traces whose ids take the most bytes that are allowed."""
    rows = []
    for number in range(1_000):
        trace_id = f"{number:04}" + "é" * 38 + "x" * 6
        assert len(json.dumps(trace_id)) == c.MAX_TRACE_ID_JSON_BYTES
        properties = {"$ai_trace_id": trace_id, "$ai_input": f"{text} {number}", "$ai_output_choices": "Fine."}
        moment = START + timedelta(seconds=number)
        event_id = f"00000000-0000-4000-8000-{team:06}{number:06}"
        rows.append([event_id, "$ai_generation", json.dumps(properties), moment, team, "user", moment])
    bench.insert(rows)


def test_a_thousand_traces_end_in_a_result(bench: Workbench) -> None:
    team = bench.new_team()
    thousand_long_ids(bench, team, "hello")
    execution = bench.run_team(team, max_traces=1_000, batch_size=40)
    assert execution.output is not None, execution
    assert execution.output["metrics"]["summaries_generated"] == 1_000
    history = bench.history(execution.arn)
    assert len(history) < 25_000
    assert largest_payload(history) < c.MAX_STATE_PAYLOAD_BYTES


def test_a_thousand_traces_that_fail_every_attempt_end_in_a_result(bench: Workbench) -> None:
    team = bench.new_team()
    thousand_long_ids(bench, team, "hopeless")
    before = bench.model_calls()
    with bench.model_faults({"match": "hopeless", "kind": "nothing"}):  # retried by the state machine only
        execution = bench.run_team(team, max_traces=1_000, batch_size=40)
    assert execution.output is not None, execution
    metrics = execution.output["metrics"]
    assert (metrics["traces_queried"], metrics["summaries_failed"]) == (1_000, 1_000)
    assert bench.model_calls() - before == 2_000
    history = bench.history(execution.arn)
    assert len(history) < 25_000
    assert largest_payload(history) < c.MAX_STATE_PAYLOAD_BYTES


def test_a_sample_is_cut_to_max_traces_and_a_rerun_takes_the_same(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 60)
    assert bench.metrics_of(team, max_traces=10)["traces_queried"] == 10
    assert bench.metrics_of(team, max_traces=10)["summaries_reused"] == 10
    assert bench.metrics_of(team, max_traces=25)["summaries_reused"] == 10, "the smaller sample is part of the larger"


def test_a_deadline_that_passes_in_mid_run_leaves_the_rest_unpaid(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 12, text=f"slow question of {team}")
    before = bench.model_calls()
    with (
        bench.changed_function("sample-traces", {"TEAM_DEADLINE_MINUTES": str(6 / 60)}),
        bench.model_faults({"match": f"slow question of {team}", "kind": "delay", "seconds": 2.5}),
    ):
        metrics = bench.metrics_of(team, batch_size=1)
    out_of_time = metrics["summaries_skipped_by_reason"]["out_of_time"]
    assert metrics["summaries_generated"] >= 1
    assert out_of_time >= 8
    assert metrics["summaries_generated"] + out_of_time == 12
    assert bench.model_calls() - before == metrics["summaries_generated"]
    assert bench.batch_runs(team), "the team still aggregates"


# --- every Retry and Catch --------------------------------------------------------------------------------------------


@pytest.fixture
def team_with_a_trace(bench: Workbench) -> int:
    team = bench.new_team()
    bench.add_traces(team, 1, text=f"only question of {team}")
    return team


@pytest.mark.parametrize(
    "function", ["plan-run", "sample-traces", "summarize-trace", "aggregate-team", "aggregate-run"]
)
def test_a_throttled_function_is_retried_with_patience(bench: Workbench, team_with_a_trace: int, function: str) -> None:
    assert bench.stack.runtime is not None
    bench.stack.runtime.throttle(f"trace-summarization-{function}", times=3)
    execution = bench.run_coordinator([team_with_a_trace])
    assert execution.output is not None, execution
    assert execution.output["total_summaries"] == 1
    assert len(bench.children_of(team_with_a_trace)) == 1, "the state retried, not the team"


def test_a_function_that_stays_throttled_fails_its_trace_only(bench: Workbench, team_with_a_trace: int) -> None:
    assert bench.stack.runtime is not None
    bench.stack.runtime.throttle(SUMMARIZE, times=4)
    metrics = bench.metrics_of(team_with_a_trace)
    assert metrics["summaries_failed"] == 1


def test_plan_run_retries_a_parameter_store_that_fails(bench: Workbench, team_with_a_trace: int) -> None:
    store = HttpProxy(int(bench.info.aws_endpoint_url.rpartition(":")[2]))
    outage = Fault(lambda _: True, times=2, status=500)  # the SDK itself tries twice
    with (
        bench.changed_function("plan-run", {"AWS_ENDPOINT_URL_SSM": f"http://127.0.0.1:{store.port}"}),
        store.fault(outage),
    ):
        execution = bench.run_coordinator([team_with_a_trace])
    store.stop()
    assert outage.taken == 2
    assert execution.output is not None, execution
    assert execution.output["total_summaries"] == 1
    failures = [e for e in bench.history(execution.arn) if e["type"] == "LambdaFunctionFailed"]
    assert [e["lambdaFunctionFailedEventDetails"]["error"] for e in failures] == ["SecretUnavailable"]


def test_an_aggregation_that_always_times_out_fails_the_run_by_name(bench: Workbench) -> None:
    with bench.changed_function("aggregate-run", timeout_seconds=0.000_1):
        execution = bench.run_coordinator([])
    assert (execution.status, execution.error) == ("FAILED", "Sandbox.Timedout")
    failures = [e for e in bench.history(execution.arn) if e["type"] == "LambdaFunctionFailed"]
    assert len(failures) == 3


def test_each_retry_and_catch_of_the_team_machine(bench: Workbench, team_with_a_trace: int) -> None:
    team = team_with_a_trace
    with bench.proxy.fault(Fault(of_team(team), times=1, status=503)) as sampling:
        assert bench.metrics_of(team)["summaries_generated"] == 1
    assert sampling.taken == 1, "SampleTraces retried"
    with bench.proxy.fault(Fault(inserts_into("trace_summarization.batch_runs"), times=1, status=503)) as recording:
        assert bench.metrics_of(team)["summaries_generated"] == 1
    assert recording.taken == 1, "AggregateTeam retried"


def test_a_function_that_runs_into_its_timeout_is_retried(bench: Workbench, team_with_a_trace: int) -> None:
    with (
        bench.changed_function("sample-traces", timeout_seconds=3),
        bench.proxy.fault(Fault(of_team(team_with_a_trace), times=1, stall_seconds=6)),
    ):
        execution = bench.run_team(team_with_a_trace)
    assert execution.output is not None, execution
    assert execution.output["metrics"]["summaries_generated"] == 1
    assert "Sandbox.Timedout" in json.dumps(bench.history(execution.arn), default=str)


def test_a_child_s_name_is_its_coordinator_s_run_and_attempt(bench: Workbench) -> None:
    team = bench.new_team()
    first = bench.run_coordinator([team])
    second = bench.run_coordinator([team])
    assert first.status == second.status == "SUCCEEDED"
    names = bench.children_of(team)
    assert len(names) == 2, "two coordinator runs of one window do not collide"
    assert all(name.startswith(f"team-{team}-20250115T150000Z-") and name.endswith("-0") for name in names)


def test_a_child_is_linked_to_its_coordinator(bench: Workbench) -> None:
    team = bench.new_team()
    arn = start(bench.info, bench.info.coordinator_arn, {**WINDOW})
    bench.wait(arn)
    execution = bench.run_coordinator([team])
    child = f"{bench.info.team_machine_arn.replace(':stateMachine:', ':execution:')}:{bench.children_of(team)[0]}"
    told = bench.info.aws("stepfunctions").describe_execution(executionArn=child)
    assert json.loads(told["input"])["AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"] == execution.arn
