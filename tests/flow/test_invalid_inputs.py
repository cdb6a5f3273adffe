"""Invalid inputs end in the first state with a message that names the field; nothing is read, written or paid for."""

import json
from typing import Any

import pytest

from local.executions import start
from tests.flow.workbench import Workbench
from tests.invalid_inputs import INVALID_INPUTS


def _cause(text: str | None) -> str:
    return str(json.loads(text or "{}").get("errorMessage"))


@pytest.mark.parametrize(("inputs", "field"), INVALID_INPUTS)
def test_the_team_machine_refuses(bench: Workbench, inputs: dict[str, Any], field: str) -> None:
    execution = bench.wait(start(bench.info, bench.info.team_machine_arn, {"team_id": 1, **inputs}))
    assert (execution.status, execution.error) == ("FAILED", "InvalidInput")
    assert field in _cause(execution.cause)


@pytest.mark.parametrize("team_id", [None, 0, -1, True, "1", 1.5, [1], 2**60])
def test_the_team_machine_refuses_what_is_no_team(bench: Workbench, team_id: Any) -> None:
    inputs = {} if team_id is None else {"team_id": team_id}
    execution = bench.wait(start(bench.info, bench.info.team_machine_arn, inputs))
    assert (execution.status, execution.error) == ("FAILED", "InvalidInput")
    assert _cause(execution.cause).startswith("team_id: ")


@pytest.mark.parametrize(
    ("inputs", "field"),
    [*INVALID_INPUTS, ({"max_concurrent_teams": 0}, "max_concurrent_teams"), ({"team_id": 1}, "team_id")],
)
def test_the_coordinator_refuses_and_starts_no_team(bench: Workbench, inputs: dict[str, Any], field: str) -> None:
    execution = bench.wait(start(bench.info, bench.info.coordinator_arn, inputs))
    assert (execution.status, execution.error) == ("FAILED", "InvalidInput")
    assert field in _cause(execution.cause)
    types = [event["type"] for event in bench.history(execution.arn)]
    assert types.count("TaskStateEntered") == 1, "it ends in its first state, at the first attempt"
    assert sum(kind.endswith("Failed") for kind in types) <= 2


def test_nothing_is_read_written_or_paid_for(bench: Workbench) -> None:
    team = bench.new_team()
    bench.add_traces(team, 2)
    calls = bench.model_calls()
    execution = bench.run_team(team, batch_size=0)
    assert execution.error == "InvalidInput"
    assert bench.model_calls() == calls
    assert not bench.stored_summary_rows(team)
    assert not bench.batch_runs(team)


def test_a_thousand_and_one_traces_are_refused(bench: Workbench) -> None:
    execution = bench.run_team(bench.new_team(), max_traces=1_001)
    assert (execution.status, execution.error) == ("FAILED", "InvalidInput")
    assert "an integer from 1 to 1000" in _cause(execution.cause)
