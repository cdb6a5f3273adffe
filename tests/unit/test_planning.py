"""PlanRun's and a team's start: allowlist, run keys, batch run ids, deadlines."""

import json
import re
from typing import Any

import pytest

from trace_summarization import constants as c
from trace_summarization.errors import InvalidAllowlist, InvalidInput
from trace_summarization.models import RunPlan
from trace_summarization.planning import check_cap, coordinator_settings, parse_allowlist, plan_run, team_run
from trace_summarization.team_settings import parse_team_settings
from trace_summarization.timestamps import format_rfc3339

STARTED = "2025-01-15T12:00:07.123Z"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:batch-trace-summarization-coordinator:a"


def planned(execution_id: str = EXECUTION, **given: object) -> RunPlan:
    inputs, window = coordinator_settings(given, STARTED)
    return plan_run(inputs, window, execution_id, [1, 2])


def test_an_empty_allowlist_is_no_error() -> None:
    assert parse_allowlist("[]") == []


def test_the_allowlist_keeps_its_order_and_names_each_team_once() -> None:
    assert parse_allowlist(" [7, 2, 7, 1]\n") == [7, 2, 1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2",
        "{}",
        "null",
        '"[1]"',
        "[1, 0]",
        "[-1]",
        "[true]",
        '["1"]',
        "[1.0]",
        "[[1]]",
        "[1",
        "[9007199254740992]",
        "[" * 100_000,
        json.dumps(list(range(1, 502))),
    ],
)
def test_a_malformed_allowlist_is_refused(text: str) -> None:
    with pytest.raises(
        InvalidAllowlist, match=r"allowed is a JSON array of at most 500 integers >= 1, such as \[1, 2\]$"
    ):
        parse_allowlist(text)


def test_an_allowlist_of_500_teams_is_taken() -> None:
    assert len(parse_allowlist(json.dumps(list(range(1, 501))))) == 500


def test_the_plan_hands_every_team_the_same_fixed_window() -> None:
    team_input = planned(scheduled_time="2025-01-15T12:00:00Z", max_traces=7, mode="minimal").team_input
    assert team_input.model_dump(mode="json") == {
        "max_traces": 7,
        "batch_size": 5,
        "mode": "minimal",
        "model": "gpt-4.1-mini",
        "max_cost_usd": None,
        "max_input_tokens": None,
        "dry_run": False,
        "window_start": "2025-01-15T10:50:00Z",
        "window_end": "2025-01-15T11:50:00Z",
    }


def test_another_run_of_a_window_names_its_children_differently() -> None:
    assert planned().run_key == planned().run_key
    assert planned().run_key != planned(execution_id=EXECUTION + "b").run_key


def test_a_child_execution_s_name_is_legal_and_at_most_80_characters() -> None:
    name = f"team-{c.MAX_TEAM_ID}-{planned().run_key}-99"
    assert len(name) <= 80
    assert re.fullmatch(r"[A-Za-z0-9_-]+", name)


def test_a_team_s_run_is_named_by_its_window_so_that_a_rerun_keeps_the_name() -> None:
    given = {"team_id": 42, "window_start": "2025-01-15T11:00:00Z", "window_end": "2025-01-15T12:00:00Z"}
    run, _ = team_run(given, STARTED, EXECUTION, 110)
    again, _ = team_run(given, "2025-03-01T00:00:00Z", EXECUTION + "b", 110)
    assert run.batch_run_id == again.batch_run_id == "team_42_2025-01-15T12:00:00Z"


def test_a_team_starts_summaries_for_110_minutes() -> None:
    run, _ = team_run({"team_id": 42}, STARTED, EXECUTION, c.TEAM_DEADLINE_MINUTES)
    assert format_rfc3339(run.deadline) == "2025-01-15T13:50:07Z"


def test_the_input_is_checked_before_anything_else() -> None:
    with pytest.raises(InvalidInput, match="^max_traces: 0 "):
        coordinator_settings({"max_traces": 0}, STARTED)


# --- a cap for all teams ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "settings", "message"),
    [
        ({"max_cost_usd": 1}, "{}", "max_cost_usd: 1 cannot be kept"),
        ({}, '{"default": {"max_cost_usd": 2}}', "max_cost_usd of the team settings: 2 cannot be kept"),
    ],
)
def test_a_cap_for_all_teams_needs_a_price(inputs: dict[str, Any], settings: str, message: str) -> None:
    given, _ = coordinator_settings({"model": "my-own", **inputs}, STARTED)
    with pytest.raises(InvalidInput, match=f"^{message}"):
        check_cap(given, parse_team_settings(settings))


@pytest.mark.parametrize(
    ("inputs", "settings"),
    [
        ({"max_cost_usd": 1}, '{"prices": {"my-own": {"input": 1, "output": 1}}}'),
        ({"max_cost_usd": 1, "model": "gpt-4.1"}, "{}"),
        ({}, '{"teams": {"3": {"max_cost_usd": 2}}}'),
    ],
)
def test_a_cap_that_can_be_kept_lets_the_run_begin(inputs: dict[str, Any], settings: str) -> None:
    given, _ = coordinator_settings({"model": "my-own", **inputs}, STARTED)
    check_cap(given, parse_team_settings(settings))
