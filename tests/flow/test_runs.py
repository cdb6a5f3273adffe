"""Whole runs through the synthesized state machines: what they return and what they leave behind."""

import json
from datetime import timedelta
from uuid import UUID

from tests.flow.workbench import END, START, Workbench, event_row
from trace_summarization.constants import EVENT_NAME_TRACE_SUMMARY
from trace_summarization.events import summary_event_id
from trace_summarization.prices import PriceList


def test_a_team_s_run_leaves_one_event_and_one_message_per_trace(bench: Workbench) -> None:
    team = bench.new_team()
    trace_ids = bench.add_traces(team, 6)
    execution = bench.run_team(team)

    assert execution.output is not None, execution
    assert execution.output["batch_run_id"] == f"team_{team}_2025-01-15T15:00:00Z"
    metrics = execution.output["metrics"]
    for measured in ("duration_seconds", "cost_usd", "input_tokens", "output_tokens"):
        assert metrics.pop(measured) > 0
    assert metrics.pop("price_version") == PriceList.shipped().version
    assert metrics == {
        "tokens_are_estimated": False,
        "traces_queried": 6,
        "summaries_skipped": 0,
        "summaries_failed": 0,
        "summaries_generated": 6,
        "summaries_reused": 0,
        "embedding_requests_succeeded": 6,
        "embedding_requests_failed": 0,
        "embedding_requests_unneeded": 0,
        "summaries_skipped_by_reason": {},
        "max_cost_usd": 5.0,
        "model_calls": 6,
        "cached_input_tokens": 0,
        "traces_estimated": 0,
        "estimated_input_tokens": 0,
        "estimated_cost_usd": None,
    }
    assert set(bench.summaries(team)) == set(trace_ids)
    messages = bench.messages(team)
    assert sorted(message["document_id"] for message in messages) == sorted(trace_ids)
    assert {message["version"] for message in messages} == {1}


def test_the_event_has_every_property(bench: Workbench) -> None:
    team = bench.new_team()
    [trace_id] = bench.add_traces(team, 1)
    execution = bench.run_team(team)

    [(event_id, timestamp, _, text)] = bench.stored_summary_rows(team)
    properties = json.loads(text)
    assert event_id == UUID(summary_event_id(team, trace_id, "detailed"))
    assert timestamp.replace(tzinfo=START.tzinfo) == START
    assert properties["$ai_trace_id"] == trace_id
    assert properties["$ai_batch_run_id"] == f"team_{team}_2025-01-15T15:00:00Z"
    assert properties["$ai_summary_mode"] == "detailed"
    assert properties["$ai_execution_id"] == execution.arn
    assert properties["$ai_summary_model"] == "offline-extractive"
    assert properties["$ai_summary_requested_model"] == "gpt-4.1-mini"
    assert properties["$ai_summary_provider"] == "offline"
    assert properties["trace_timestamp"] == "2025-01-15T14:00:00.000000Z"
    assert (properties["$ai_window_start"], properties["$ai_window_end"]) == (
        "2025-01-15T14:00:00Z",
        "2025-01-15T15:00:00Z",
    )
    assert properties["$ai_event_count"] == 1
    assert properties["$ai_text_repr_length"] > 20
    assert properties["$ai_summary_input_tokens"] > 0
    assert properties["$ai_summary_title"]
    assert properties["$ai_summary_flow_diagram"].startswith("flowchart")
    assert all(set(item) == {"text", "line_refs", "verified"} for item in json.loads(properties["$ai_summary_bullets"]))
    row = bench.summaries(team)[trace_id]
    assert [item["text"] for item in row["bullets"]] == [
        item["text"] for item in json.loads(properties["$ai_summary_bullets"])
    ]


def test_a_rerun_changes_no_row_and_calls_no_model(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 4)
    bench.run_team(team)
    rows, calls = bench.stored_summary_rows(team), bench.model_calls()

    again = bench.metrics_of(team)
    assert (again["summaries_generated"], again["summaries_reused"]) == (4, 4)
    assert bench.stored_summary_rows(team) == rows
    assert bench.model_calls() == calls
    messages = [json.dumps(message, sort_keys=True) for message in bench.messages(team)]
    assert len(messages) == 8
    assert len(set(messages)) == 4, "a rerun queues the same message again"


def test_a_content_that_every_model_holds_is_not_queued_again(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 1)
    bench.run_team(team)
    [message] = bench.messages(team)
    bench.client.command(
        "INSERT INTO trace_summarization.document_embeddings (team_id, product, document_type, model_name, rendering,"
        " document_id, timestamp, summarized_at, content_hash, content, metadata, embedding) SELECT"
        " {team_id:Int64}, {product:String}, {document_type:String}, {model:String}, {rendering:String},"
        " {document_id:String}, parseDateTime64BestEffort({timestamp:String}, 6, 'UTC'),"
        " parseDateTime64BestEffort({summarized_at:String}, 6, 'UTC'), {content_hash:String}, {content:String},"
        " '{}', [1.0]",
        parameters={**message, "model": message["models"][0]},
    )
    metrics = bench.metrics_of(team)
    assert (metrics["embedding_requests_unneeded"], metrics["embedding_requests_succeeded"]) == (1, 0)
    assert len(bench.messages(team)) == 1


def test_a_changed_trace_replaces_its_row(bench: Workbench) -> None:
    team = bench.new_team()
    [trace_id] = bench.add_traces(team, 1)
    bench.run_team(team)
    bench.insert([event_row(team, trace_id, START + timedelta(minutes=5), text="And my refund?")])

    assert bench.metrics_of(team)["summaries_reused"] == 0
    assert bench.summaries(team)[trace_id]["event_count"] == 2
    assert len({(row[0], row[1]) for row in bench.stored_summary_rows(team)}) == 1, "the whole sort key repeats"


def test_modes_are_kept_apart(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 1)
    bench.run_team(team, mode="minimal")
    assert bench.metrics_of(team, mode="detailed")["summaries_reused"] == 0
    rows = bench.client.query(
        "SELECT mode FROM trace_summarization.trace_summaries WHERE team_id = {t:Int64} ORDER BY mode",
        parameters={"t": team},
    ).result_rows
    assert [row[0] for row in rows] == ["detailed", "minimal"]


def test_a_trace_over_two_windows_is_summarized_in_the_first(bench: Workbench) -> None:
    team = bench.new_team()
    [trace_id] = bench.add_traces(team, 1, start=END - timedelta(seconds=10))
    bench.insert([event_row(team, trace_id, END + timedelta(minutes=20))])
    second = {"window_start": "2025-01-15T15:00:00Z", "window_end": "2025-01-15T16:00:00Z"}

    assert bench.metrics_of(team, **second)["traces_queried"] == 0
    assert bench.metrics_of(team)["traces_queried"] == 1
    assert bench.summaries(team)[trace_id]["event_count"] == 2, "fetched to its last event, beyond the window"


def test_late_events_before_between_and_after_the_runs(bench: Workbench) -> None:
    team = bench.new_team()
    [trace_id] = bench.add_traces(team, 1)
    bench.run_team(team)
    # Between the runs: an event of the window before arrives. The trace now begins there.
    bench.insert([event_row(team, trace_id, START - timedelta(minutes=5), text="Hello, it began earlier.")])
    assert bench.metrics_of(team)["traces_queried"] == 0
    before = {"window_start": "2025-01-15T13:00:00Z", "window_end": "2025-01-15T14:00:00Z"}
    assert bench.metrics_of(team, **before)["summaries_generated"] == 1
    assert bench.summaries(team)[trace_id]["event_count"] == 2
    assert len({(row[0], row[1]) for row in bench.stored_summary_rows(team)}) == 1, "its first timestamp is kept"
    # After the runs: a later event. A backfill of its window finds it.
    bench.insert([event_row(team, trace_id, START + timedelta(minutes=50), text="Thanks.")])
    assert bench.metrics_of(team, **before)["summaries_reused"] == 0
    assert bench.summaries(team)[trace_id]["event_count"] == 3


def test_summaries_are_no_trace_activity(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 2)
    bench.run_team(team)
    assert bench.metrics_of(team)["traces_queried"] == 2
    events = bench.client.query(
        "SELECT count() FROM trace_summarization.ai_events WHERE team_id = {t:Int64} AND event = {e:String}",
        parameters={"t": team, "e": EVENT_NAME_TRACE_SUMMARY},
    ).result_rows
    assert events == [(0,)]


def test_loading_the_same_events_three_times_changes_nothing(bench: Workbench) -> None:
    team = bench.new_team()
    rows = [event_row(team, f"again-{team}-{number}", START + timedelta(seconds=number)) for number in range(5)]
    bench.insert(rows)
    first = bench.metrics_of(team)
    for _ in range(2):
        bench.insert(rows)
    again = bench.metrics_of(team)
    assert (first["traces_queried"], again["traces_queried"]) == (5, 5)
    assert (again["summaries_reused"], again["summaries_skipped"]) == (5, 0)


def test_a_finished_window_is_recorded_once(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 2)
    bench.run_team(team)
    bench.run_team(team)
    [row] = bench.batch_runs(team)
    assert (row["traces_queried"], row["summaries_generated"], row["summaries_reused"]) == (2, 2, 2)
    assert row["mode"] == "detailed"


def test_a_team_without_data_is_an_empty_result(bench: Workbench) -> None:
    team = bench.new_team()
    metrics = bench.metrics_of(team)
    assert {metrics[name] for name in metrics if name.startswith(("traces", "summaries_g", "summaries_f"))} == {0}
    assert bench.batch_runs(team)[0]["traces_queried"] == 0


def test_the_coordinator_counts_processed_and_idle_teams(bench: Workbench) -> None:
    busy, idle, other = bench.new_team(), bench.new_team(), bench.new_team()
    bench.add_traces(busy, 3)
    bench.add_traces(other, 2)
    execution = bench.run_coordinator([busy, idle])
    assert execution.output is not None, execution
    assert execution.output.pop("total_cost_usd") > 0
    assert execution.output == {
        "teams_processed": 1,
        "teams_idle": 1,
        "teams_failed": 0,
        "failed_team_ids": [],
        "total_traces": 3,
        "total_summaries": 3,
        "estimated_input_tokens": 0,
        "estimated_cost_usd": None,
    }
    assert not bench.summaries(other), "a team that is not listed is left alone"
    # Started by hand it need not be listed.
    assert bench.metrics_of(other)["summaries_generated"] == 2


def test_an_empty_allowlist_runs_and_processes_none(bench: Workbench) -> None:
    execution = bench.run_coordinator([])
    assert execution.status == "SUCCEEDED"
    assert execution.output is not None
    assert execution.output["teams_processed"] == execution.output["teams_idle"] == 0


def test_a_malformed_allowlist_fails_the_run(bench: Workbench) -> None:
    execution = bench.run_coordinator('{"teams": [1]}')
    assert (execution.status, execution.error) == ("FAILED", "InvalidAllowlist")


def test_all_teams_of_a_run_share_its_window(bench: Workbench) -> None:
    teams = [bench.new_team() for _ in range(3)]
    execution = bench.run_coordinator(teams, window_start="2025-01-15T14:00:00Z", window_end="2025-01-15T14:30:00Z")
    assert execution.status == "SUCCEEDED"
    windows = {(row["window_start"], row["window_end"]) for team in teams for row in bench.batch_runs(team)}
    assert len(windows) == 1


def test_odd_trace_ids_go_all_the_way(bench: Workbench) -> None:
    team = bench.new_team()
    odd = [
        'it\'s "quoted"',
        "two\nlines\ttab",
        "emoji 🚀",
        "2025-01-15T14:00:00Z",
        "back\\slash",
        "%s {x:Int64}",
        "a" * 128,
    ]
    bench.insert([event_row(team, trace_id, START + timedelta(seconds=n)) for n, trace_id in enumerate(odd)])
    bench.insert([event_row(team, "b" * 129, START), event_row(team, "🚀" * 100, START)])
    metrics = bench.metrics_of(team)
    assert metrics["summaries_generated"] == len(odd)
    assert metrics["summaries_skipped_by_reason"] == {"trace_id_too_long": 2}
    assert set(bench.summaries(team)) == set(odd)


def test_a_trace_with_ten_thousand_events_is_skipped_unpaid(bench: Workbench) -> None:
    team = bench.new_team()
    bench.insert([event_row(team, f"huge-{team}", START + timedelta(milliseconds=n)) for n in range(10_000)])
    calls = bench.model_calls()
    metrics = bench.metrics_of(team)
    assert metrics["summaries_skipped_by_reason"] == {"trace_too_large": 1}
    assert bench.model_calls() == calls


def test_a_trace_of_more_than_30_mb_is_skipped_unpaid(bench: Workbench) -> None:
    team = bench.new_team()
    for part in range(4):
        bench.insert([event_row(team, f"heavy-{team}", START + timedelta(seconds=part), text="x" * 8_000_000)])
    calls = bench.model_calls()
    assert bench.metrics_of(team)["summaries_skipped_by_reason"] == {"trace_too_large": 1}
    assert bench.model_calls() == calls
