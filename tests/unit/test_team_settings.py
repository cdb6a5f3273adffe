"""Team settings: what is taken, what is refused with its path, and which value of several holds."""

import json
from typing import Any

import pytest

from tests.unit.runs import run_of_team
from trace_summarization.errors import InvalidConfiguration, InvalidInput
from trace_summarization.planning import team_run
from trace_summarization.prices import model_price
from trace_summarization.team_settings import NO_SETTINGS, TeamSettings, parse_team_settings

SETTINGS = parse_team_settings(
    json.dumps(
        {
            "default": {"max_cost_usd": 2, "redaction": True, "max_input_tokens": 30_000},
            "teams": {"3": {"max_cost_usd": 0.5, "redaction": False}},
            "prices": {"my-own": {"input": 0.1, "output": 0.4}},
        }
    )
)


def test_without_settings_the_constants_hold() -> None:
    run = run_of_team(3, parse_team_settings(NO_SETTINGS))
    assert (run.max_cost_usd, run.max_input_tokens, run.redaction, run.dry_run) == (5.0, 60_000, True, False)


def test_the_default_holds_for_a_team_without_its_own() -> None:
    run = run_of_team(4, SETTINGS)
    assert (run.max_cost_usd, run.max_input_tokens, run.redaction) == (2.0, 30_000, True)


def test_a_team_s_own_value_comes_before_the_default() -> None:
    run = run_of_team(3, SETTINGS)
    assert (run.max_cost_usd, run.max_input_tokens, run.redaction) == (0.5, 30_000, False)


def test_the_input_comes_before_both() -> None:
    run = run_of_team(3, SETTINGS, max_cost_usd=0.25, max_input_tokens=1_000)
    assert (run.max_cost_usd, run.max_input_tokens) == (0.25, 1_000)


def test_no_more_input_is_asked_for_than_the_model_s_context_has_room_for() -> None:
    assert run_of_team(1, max_input_tokens=1_000_000, model="gpt-4o").max_input_tokens == 128_000 - 2_000 - 6_000
    assert run_of_team(1, max_input_tokens=1_000_000, model="unknown").max_input_tokens == 1_000_000


def test_a_model_of_the_deployment_s_own_has_the_price_that_was_stated() -> None:
    assert run_of_team(3, SETTINGS, model="my-own").price == model_price("0.1", None, "0.4")


def test_a_model_without_a_price_runs_uncapped_where_nobody_asked_for_a_cap() -> None:
    run = run_of_team(3, model="unknown")
    assert (run.price, run.max_cost_usd) == (None, None)


@pytest.mark.parametrize(
    ("settings", "inputs", "field"),
    [
        (TeamSettings(), {"max_cost_usd": 1}, "max_cost_usd: 1 "),
        (SETTINGS, {}, "max_cost_usd of the team settings: 0.5 "),
    ],
)
def test_a_cap_on_a_model_without_a_price_is_refused(
    settings: TeamSettings, inputs: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput, match=rf"^{field}cannot be kept.* for the model unknown; allowed is a model with"):
        run_of_team(3, settings, model="unknown", **inputs)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "list is no object"),
        ('{"defaults": {}}', "defaults: "),
        ('{"default": {"max_cost": 1}}', r"default\.max_cost: "),
        ('{"default": {"max_cost_usd": "5"}}', r"default\.max_cost_usd: "),
        ('{"default": {"max_cost_usd": 0}}', r"default\.max_cost_usd: "),
        ('{"default": {"max_cost_usd": NaN}}', r"default\.max_cost_usd: "),
        ('{"default": {"redaction": 1}}', r"default\.redaction: "),
        ('{"default": {"max_input_tokens": 10}}', r"default\.max_input_tokens: "),
        ('{"teams": {"x": {}}}', r"teams\.x"),
        ('{"teams": {"0": {}}}', r"teams\.0"),
        ('{"prices": {"m": {"input": 1}}}', r"prices\.m\.output: "),
        ('{"prices": {"m": {"input": -1, "output": 1}}}', r"prices\.m\.input: "),
        (
            '{"prices": {"m": {"input": 1, "cached_input": 1.5, "output": 4}}}',
            r"prices\.m: .*cached_input 1\.5 is",
        ),
        ('{"prices": {"a b": {"input": 1, "output": 1}}}', r"prices\.a b"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_path(text: str, path: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"^team settings: {path}"):
        parse_team_settings(text)


@pytest.mark.parametrize(
    ("entry", "path"),
    [("[]", ": "), ("null", ": "), ('{"max_cost": 1}', r"\.max_cost: "), ('{"redaction": 1}', r"\.red")],
)
def test_a_mistake_in_one_team_s_entry_costs_that_team_only(entry: str, path: str) -> None:
    settings = parse_team_settings(f'{{"default": {{"max_cost_usd": 2.0}}, "teams": {{"3": {entry}}}}}')
    with pytest.raises(InvalidConfiguration, match=rf"^team settings: teams\.3{path}"):
        run_of_team(3, settings)
    assert run_of_team(4, settings).max_cost_usd == 2.0


# --- whose cap it is -------------------------------------------------------------------------------------------------


_CHILD: dict[str, Any] = {
    "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:parent",
    "window_start": "2025-01-15T10:00:00Z",
    "window_end": "2025-01-15T11:00:00Z",
}


def test_attempts_of_a_team_in_one_coordinator_run_share_a_cap() -> None:
    inputs = {"team_id": 1, **_CHILD}
    first, _ = team_run(inputs, "2025-01-15T12:00:00Z", "arn:execution:1", 110)
    second, _ = team_run(inputs, "2025-01-15T12:09:00Z", "arn:execution:2", 110)
    assert first.spending_key == second.spending_key
    assert run_of_team(1).spending_key == run_of_team(1).execution_id


@pytest.mark.parametrize(
    "other",
    [
        {"window_start": "2025-01-15T09:00:00Z", "window_end": "2025-01-15T10:00:00Z"},
        {"window_start": "2025-01-15T10:30:00Z"},
        {"mode": "minimal"},
        {"model": "gpt-4.1"},
        {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:another-parent"},
    ],
)
def test_each_window_mode_and_model_of_one_parent_has_a_cap_of_its_own(other: dict[str, str]) -> None:
    assert run_of_team(1, **{**_CHILD, **other}).spending_key != run_of_team(1, **_CHILD).spending_key


@pytest.mark.parametrize("value", [5, "", ["a"], "x" * 401])
def test_a_parent_that_is_no_execution_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="^AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID: "):
        run_of_team(1, AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID=value)
