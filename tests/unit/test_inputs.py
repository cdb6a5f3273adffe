"""Inputs: defaults, limits at their edges, and the message of every kind of mistake."""

import math
from typing import Any

import pytest

from trace_summarization.errors import InvalidInput
from trace_summarization.inputs import parse_inputs
from trace_summarization.models import BatchSummarizationInputs, BatchTraceSummarizationCoordinatorInputs


def test_defaults_are_the_contract() -> None:
    inputs = parse_inputs(BatchTraceSummarizationCoordinatorInputs, {})
    assert inputs.model_dump() == {
        "max_traces": 100,
        "batch_size": 5,
        "mode": "detailed",
        "window_minutes": 60,
        "window_lag_minutes": 10,
        "model": "gpt-4.1-mini",
        "max_cost_usd": None,
        "max_input_tokens": None,
        "dry_run": False,
        "window_start": None,
        "window_end": None,
        "scheduled_time": None,
        "max_concurrent_teams": 5,
    }


@pytest.mark.parametrize(
    ("field", "lowest", "highest"),
    [
        ("max_traces", 1, 1_000),
        ("batch_size", 1, 40),
        ("window_minutes", 1, 1_440),
        ("window_lag_minutes", 0, 1_440),
        ("max_concurrent_teams", 1, 40),
    ],
)
def test_integers_are_taken_up_to_their_limits_and_not_beyond(field: str, lowest: int, highest: int) -> None:
    for allowed in (lowest, highest):
        assert getattr(parse_inputs(BatchTraceSummarizationCoordinatorInputs, {field: allowed}), field) == allowed
    for refused in (lowest - 1, highest + 1):
        with pytest.raises(
            InvalidInput,
            match=rf"^{field}: {refused} is not allowed; allowed is an integer from {lowest} to {highest}$",
        ):
            parse_inputs(BatchTraceSummarizationCoordinatorInputs, {field: refused})


@pytest.mark.parametrize("value", [1, 0.000_000_001, 2.5, 10_000, None])
def test_a_cap_is_any_positive_number_up_to_its_limit_or_the_team_s_default(value: Any) -> None:
    assert parse_inputs(BatchTraceSummarizationCoordinatorInputs, {"max_cost_usd": value}).max_cost_usd == value


@pytest.mark.parametrize("value", [0, -1, 10_000.01, True, "5", math.nan, math.inf, [5]])
def test_what_is_no_cap_is_told_with_what_is_allowed(value: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"^max_cost_usd: .* is not allowed; allowed is a number above 0, at most 10000$"
    ):
        parse_inputs(BatchTraceSummarizationCoordinatorInputs, {"max_cost_usd": value})


@pytest.mark.parametrize("value", [999, 1_000_001, True, 5_000.5, "5000"])
def test_what_is_no_number_of_input_tokens_is_told_with_what_is_allowed(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^max_input_tokens: .* allowed is an integer from 1000 to 1000000$"):
        parse_inputs(BatchTraceSummarizationCoordinatorInputs, {"max_input_tokens": value})


@pytest.mark.parametrize("value", [1, "true", None])
def test_a_dry_run_is_asked_for_with_true_or_false(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^dry_run: .* is not allowed; allowed is true or false$"):
        parse_inputs(BatchTraceSummarizationCoordinatorInputs, {"dry_run": value})


@pytest.mark.parametrize("value", [True, "5", 5.5, None, [5], {"a": 1}])
def test_only_integers_are_integers(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^batch_size: .* is not allowed; allowed is an integer from 1 to 40$"):
        parse_inputs(BatchTraceSummarizationCoordinatorInputs, {"batch_size": value})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mode": "verbose"}, 'mode: "verbose" is not allowed; allowed is detailed | minimal'),
        (
            {"max_trace": 5},
            "max_trace: unknown key; allowed are batch_size, dry_run, max_concurrent_teams, max_cost_usd",
        ),
        ({"team_id": 5}, "team_id: unknown key"),
        ({"model": ""}, 'model: "" is not allowed; allowed is a string of 1 to 128 characters'),
        ({"model": "a b"}, 'model: "a b" is not allowed'),
        ({"window_start": "yesterday"}, 'window_start: "yesterday" is not an RFC 3339 time with offset'),
        ({"window_end": "2025-01-15T12:00:00"}, "window_end: .* is not an RFC 3339 time with offset"),
        ({"window_end": 1736942400}, "window_end: 1736942400 is not a string holding an RFC 3339 time"),
        ({"scheduled_time": "2025-02-30T12:00:00Z"}, "scheduled_time: .* is not an RFC 3339 time: day"),
        ({"max_traces": 0, "batch_size": 41}, "max_traces: 0 .*; batch_size: 41 "),
        ([], r"input: \[\] is not a JSON object"),
        ("text", 'input: "text" is not a JSON object'),
        (None, "input: null is not a JSON object"),
    ],
)
def test_a_mistake_is_told_with_field_value_and_what_is_allowed(given: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{message}"):
        parse_inputs(BatchTraceSummarizationCoordinatorInputs, given)


@pytest.mark.parametrize("team_id", [0, -1, True, "1", 1.0, None, 2**53])
def test_a_team_id_is_an_integer_from_one_on(team_id: Any) -> None:
    with pytest.raises(InvalidInput, match="^team_id: "):
        parse_inputs(BatchSummarizationInputs, {"team_id": team_id})


def test_the_team_machine_requires_its_team() -> None:
    with pytest.raises(InvalidInput, match="^team_id: required, an integer from 1 to"):
        parse_inputs(BatchSummarizationInputs, {})


def test_the_key_that_links_a_child_execution_to_its_parent_is_no_input() -> None:
    given = {"team_id": 1, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:aws:states:..."}
    assert parse_inputs(BatchSummarizationInputs, given).team_id == 1


def test_a_long_value_is_shown_in_short() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_inputs(BatchSummarizationInputs, {"team_id": 1, "mode": "x" * 10_000})
    assert len(str(caught.value)) < 300


def test_many_mistakes_are_told_in_short() -> None:
    with pytest.raises(InvalidInput, match="; and 990 more$") as caught:
        parse_inputs(BatchSummarizationInputs, {"team_id": 1, **{f"key{number}": 1 for number in range(1_000)}})
    assert len(str(caught.value)) < 3_000


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2025-01-15T12:00:00Z", "2025-01-15T12:00:00+00:00"),
        ("2025-01-15t12:00:00z", "2025-01-15T12:00:00+00:00"),
        ("2025-01-15T12:00:00.999999999Z", "2025-01-15T12:00:00+00:00"),
        ("2025-01-15T13:30:00+01:30", "2025-01-15T12:00:00+00:00"),
        ("2025-01-15T07:00:00.5-05:00", "2025-01-15T12:00:00+00:00"),
    ],
)
def test_times_become_utc_in_whole_seconds(written: str, meant: str) -> None:
    inputs = parse_inputs(BatchTraceSummarizationCoordinatorInputs, {"scheduled_time": written})
    assert inputs.scheduled_time is not None
    assert inputs.scheduled_time.isoformat() == meant
