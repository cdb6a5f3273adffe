"""Money: a run never spends more than its cap, uses it up where traces suffice, and a dry run spends nothing."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from local.executions import Execution
from tests.flow.http_proxy import Fault, inserts_into
from tests.flow.workbench import START, Workbench, event_row
from trace_summarization import constants as c
from trace_summarization.models import ModelUsage
from trace_summarization.prices import PriceList, cost_nano_usd, nano_usd, usd

MODEL = "gpt-4.1-mini"
LONG_TEXT = " ".join(f"Paragraph {n}: the parcel was late again, and nobody told me why." for n in range(300))


def metrics_of(execution: Execution) -> dict[str, Any]:
    assert execution.output is not None, execution
    metrics: dict[str, Any] = execution.output["metrics"]
    return metrics


def billed_nano_usd(requests: Iterable[Mapping[str, Any]]) -> int:
    """What a provider would bill for the requests: answers, and those whose answer was lost, at the model's price."""
    price = PriceList.shipped().price_of(MODEL)
    assert price is not None
    costs = [
        cost_nano_usd(price, ModelUsage(MODEL, entry["input_tokens"], entry["output_tokens"]))
        for entry in requests
        if entry["status"] in (200, None)
    ]
    return sum(cost for cost in costs if cost is not None)


def test_a_cap_stops_the_run_and_leaves_what_it_did(bench: Workbench) -> None:
    team = bench.new_team()
    trace_ids = bench.add_traces(team, 12)
    with bench.model_requests() as requests:
        execution = bench.run_team(team, max_cost_usd=0.012, batch_size=3)
    metrics = metrics_of(execution)
    assert metrics["summaries_skipped_by_reason"] == {"budget": 12 - metrics["summaries_generated"]}
    assert 0 < metrics["summaries_generated"] < 12
    assert len(bench.summaries(team)) == metrics["summaries_generated"] == metrics["model_calls"] == len(requests)
    assert metrics["cost_usd"] == float(usd(billed_nano_usd(requests)))
    assert metrics["cost_usd"] <= metrics["max_cost_usd"] == 0.012
    assert metrics["input_tokens"] == sum(entry["input_tokens"] for entry in requests)
    assert metrics["output_tokens"] == sum(entry["output_tokens"] for entry in requests)
    again = metrics_of(bench.run_team(team))
    assert again["summaries_reused"] == metrics["summaries_generated"], "a new run goes on, with a cap of its own"
    assert again["summaries_generated"] == len(trace_ids)


def test_under_three_failures_in_ten_the_cap_holds_by_the_server_s_own_log_and_is_used_up(bench: Workbench) -> None:
    team = bench.new_team()
    count, cap = 90, 0.15
    # In the order in which a run takes them: the share of those that fail is the same wherever the cap stops it.
    in_order = bench.client.query(
        "SELECT concat('capped-', toString(number)) AS id FROM numbers({count:UInt32})"
        " ORDER BY cityHash64({team_id:Int64}, id)",
        parameters={"count": count, "team_id": team},
    ).result_rows
    for number, (trace_id,) in enumerate(in_order):
        bench.insert([event_row(team, trace_id, START, text=f"[trace {number:03d} of {team}] {LONG_TEXT}")])
    kinds: list[dict[str, Any]] = [{"status": 429}, {"status": 500}, {"kind": "reset"}, {"kind": "invalid_json"}]
    failing = [number for number in range(count) if number % 7 in (0, 2, 4)]  # 3 of 7, and of 10 with those repeated
    faults = [
        {"match": f"[trace {number:03d} of {team}]", "times": 1, **kinds[position % len(kinds)]}
        for position, number in enumerate(failing)
    ]
    with bench.model_faults(*faults), bench.model_requests() as requests:
        execution = bench.run_team(team, max_cost_usd=cap, batch_size=8)
    metrics = metrics_of(execution)
    failed = [entry for entry in requests if entry["fault"]]
    assert len(failed) / len(requests) == pytest.approx(0.3, abs=0.05)
    billed = billed_nano_usd(requests)
    assert billed <= nano_usd(metrics["cost_usd"]) + 1 <= nano_usd(cap) + 1
    assert billed >= 0.8 * nano_usd(cap), metrics
    assert metrics["summaries_skipped_by_reason"]["budget"] > 10, "traces suffice"
    assert not [name for name in bench.ledger(team, execution.arn) if name.startswith("call_")], "all are settled"


def test_both_attempts_of_a_team_in_one_coordinator_run_share_a_cap(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 3)
    bench.add_traces(team, 1, text=f"[late of {team}]")
    cannot_record = Fault(
        inserts_into("trace_summarization.batch_runs"), times=c.AGGREGATE_RETRY_POLICY.attempts, status=503
    )
    with (
        bench.model_faults({"match": f"[late of {team}]", "times": 1, "status": 400}),
        bench.proxy.fault(cannot_record),
        bench.model_requests() as requests,
    ):
        execution = bench.run_coordinator([team], max_cost_usd=0.5)
    assert execution.output is not None, execution
    assert len(bench.children_of(team)) == 2, "the first attempt fails once its summaries are stored"
    assert [entry["status"] for entry in requests].count(200) == 4, "and the second pays for the trace that failed"
    ledger = bench.ledger(team, execution.arn)
    assert int(ledger["calls"]["N"]) == 4
    assert int(ledger["committed"]["N"]) == billed_nano_usd(requests)
    assert execution.output["total_cost_usd"] == float(usd(billed_nano_usd(requests)))
    assert int(ledger["expires_at"]["N"]) > 0


def test_a_team_s_setting_is_its_cap(bench: Workbench) -> None:
    team, other = bench.new_team(), bench.new_team()
    bench.add_traces(team, 2)
    bench.add_traces(other, 2)
    with bench.team_settings({"teams": {str(team): {"max_cost_usd": 0.001}}}):
        capped, free = bench.metrics_of(team), bench.metrics_of(other)
    assert (capped["max_cost_usd"], capped["summaries_skipped_by_reason"]) == (0.001, {"budget": 2})
    assert (free["max_cost_usd"], free["summaries_generated"]) == (5.0, 2)


def test_malformed_team_settings_stop_a_run_before_it_reads_anything(bench: Workbench) -> None:
    with bench.team_settings({"default": {"max_cost": 1}}):
        of_team, of_all = bench.run_team(bench.new_team()), bench.run_coordinator([bench.new_team()])
    for execution in (of_team, of_all):
        assert (execution.status, execution.error) == ("FAILED", "InvalidConfiguration")
        assert "default.max_cost" in (execution.cause or "")


def test_a_malformed_entry_of_one_team_fails_that_team(bench: Workbench) -> None:
    wrong, sound = bench.new_team(), bench.new_team()
    bench.add_traces(sound, 1)
    with bench.team_settings({"teams": {str(wrong): {"max_cost": 1}}}):
        execution = bench.run_coordinator([wrong, sound])
    assert execution.output is not None, execution
    assert (execution.output["failed_team_ids"], execution.output["total_summaries"]) == ([wrong], 1)


def test_a_cap_on_a_model_without_a_price_is_refused(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 1)
    with bench.model_requests() as requests:
        execution = bench.run_team(team, model="my-own", max_cost_usd=1)
    assert (execution.status, execution.error) == ("FAILED", "InvalidInput")
    message = json.loads(execution.cause or "{}")["errorMessage"]
    assert message.startswith("max_cost_usd: 1 cannot be kept, because no price is known for the model my-own")
    assert not requests


def test_a_cap_for_all_teams_on_a_model_without_a_price_is_refused_before_any_team_begins(bench: Workbench) -> None:
    team = bench.new_team()
    execution = bench.run_coordinator([team], model="my-own", max_cost_usd=1)
    assert (execution.status, execution.error) == ("FAILED", "InvalidInput")
    assert not bench.children_of(team)


def test_a_model_without_a_price_counts_tokens(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 2)
    metrics = bench.metrics_of(team, model="my-own")
    assert (metrics["summaries_generated"], metrics["cost_usd"], metrics["max_cost_usd"]) == (2, None, None)
    assert metrics["model_calls"] == 2
    assert metrics["input_tokens"] > 1_000


def test_what_a_run_cost_is_in_its_record(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 2)
    metrics = bench.metrics_of(team, max_cost_usd=1)
    [record] = bench.batch_runs(team)
    for name in ("max_cost_usd", "cost_usd", "model_calls", "input_tokens", "cached_input_tokens", "output_tokens"):
        assert record[name] == metrics[name], name
    assert record["cost_usd"] > 0


# --- dry runs --------------------------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_a_run_then_takes_and_leaves_nothing(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 5, text=LONG_TEXT)
    with bench.model_requests() as requests:
        execution = bench.run_team(team, dry_run=True)
    told = metrics_of(execution)
    assert not requests
    assert not bench.stored_summary_rows(team)
    assert not bench.batch_runs(team)
    assert not bench.messages(team)
    assert not bench.ledger(team, execution.arn)
    assert (told["traces_queried"], told["traces_estimated"], told["summaries_generated"]) == (5, 5, 0)
    real = bench.metrics_of(team)
    assert told["estimated_input_tokens"] == pytest.approx(real["input_tokens"], rel=0.02)
    assert real["cost_usd"] <= told["estimated_cost_usd"] * 1.1


def test_a_dry_run_counts_what_still_holds_as_reused_and_free(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 3)
    bench.metrics_of(team)
    told = bench.metrics_of(team, dry_run=True)
    assert (told["traces_estimated"], told["summaries_reused"]) == (3, 3)
    assert (told["estimated_input_tokens"], told["estimated_cost_usd"]) == (0, 0.0)


def test_a_dry_run_of_all_teams_adds_up(bench: Workbench) -> None:
    teams = [bench.new_team(), bench.new_team()]
    for team in teams:
        bench.add_traces(team, 2)
    with bench.model_requests() as requests:
        execution = bench.run_coordinator(teams, dry_run=True)
    assert execution.output is not None, execution
    assert not requests
    each = [bench.metrics_of(team, dry_run=True) for team in teams]
    tokens, usd_told = (sum(told[f"estimated_{name}"] for told in each) for name in ("input_tokens", "cost_usd"))
    assert execution.output["total_traces"] == 4
    assert execution.output["total_summaries"] == 0
    assert execution.output["total_cost_usd"] == 0.0
    # The tag around a trace is random: it takes a few tokens more or less.
    assert execution.output["estimated_input_tokens"] == pytest.approx(tokens, rel=0.02)
    assert execution.output["estimated_cost_usd"] == pytest.approx(usd_told, rel=0.02)
