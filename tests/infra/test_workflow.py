"""Both state machines as synthesized: reviewed definitions, time limits, error names, history budget, payloads."""

import json
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.workflow import FUNCTION_FAULTS, LAMBDA_SERVICE_ERRORS
from tests.golden_file import assert_golden
from tests.infra.cloudformation import Template, states
from trace_summarization import constants as c
from trace_summarization import errors
from trace_summarization.models import (
    BatchSummarizationInputs,
    BatchSummarizationMetrics,
    RunPlan,
    SummarizationActivityResult,
    TeamInputs,
    TeamOutcome,
    TeamSample,
)

PROJECT_ROOT = Path(__file__).resolve().parents[2]
MACHINES = (c.WORKFLOW_NAME, c.COORDINATOR_WORKFLOW_NAME)
MAX_HISTORY_EVENTS = 25_000
OUTSIDE_THE_WORKFLOW = ("search_summaries", "embed_documents", "requeue_embeddings")
CLICKHOUSE_FUNCTIONS = ("sample_traces", "summarize_trace", "aggregate_team", *OUTSIDE_THE_WORKFLOW)
# Step Functions developer guide: "Handle Lambda service exceptions", beside the errors of Lambda's Invoke.
DOCUMENTED_LAMBDA_ERRORS = {
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.Unknown",
}

Machine = dict[str, Any]


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, template: Template) -> Machine:
    return template.definition(request.param)


@pytest.mark.parametrize("name", MACHINES)
def test_definition_is_the_reviewed_one(name: str, template: Template, golden_directory: Path) -> None:
    assert_golden(golden_directory / f"{name}.asl.json", template.definition(name))


# --- validity --------------------------------------------------------------------------------------------------------


def _asl_validator(definition: Machine, path: Path) -> subprocess.CompletedProcess[str]:
    """Run the validator; readable tokens are no ARNs, so it gets one of a function and one of a machine instead."""

    def with_arns(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_arns(item) for key, item in value.items()}
        if isinstance(value, list):
            return [with_arns(item) for item in value]
        if isinstance(value, str) and value.startswith("${"):
            kind = "states:us-east-1:123456789012:stateMachine" if "Machine" in value else ""
            return f"arn:aws:{kind or 'lambda:us-east-1:123456789012:function'}:example"
        return value.replace("${AWS::Partition}", "aws") if isinstance(value, str) else value

    path.write_text(json.dumps(with_arns(definition)))
    command = [str(PROJECT_ROOT / "node_modules/.bin/asl-validator"), "--json-path", str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_definition_is_valid(machine: Machine, tmp_path: Path) -> None:
    result = _asl_validator(machine, tmp_path / "definition.json")
    assert result.returncode == 0, result.stderr


def test_broken_definition_is_found(template: Template, tmp_path: Path) -> None:
    broken = template.definition(c.WORKFLOW_NAME)
    broken["States"]["SampleTraces"]["Next"] = "NoSuchState"
    result = _asl_validator(broken, tmp_path / "definition.json")
    assert result.returncode == 1
    assert "MISSING_TRANSITION_TARGET" in result.stderr


@pytest.mark.parametrize("name", MACHINES)
def test_machine_is_durable_logged_without_data_and_traced(name: str, template: Template) -> None:
    properties = template.machines[name]
    assert properties["StateMachineType"] == "STANDARD"
    assert properties["LoggingConfiguration"]["Level"] == "ALL"
    assert properties["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert properties["TracingConfiguration"] == {"Enabled": True}


# --- time: every limit inside the next -------------------------------------------------------------------------------


def test_every_limit_is_inside_the_next(queue_template: Template) -> None:
    template = queue_template
    team, coordinator = template.definition(c.WORKFLOW_NAME), template.definition(c.COORDINATOR_WORKFLOW_NAME)
    lambda_timeouts = {name: properties["Timeout"] for name, properties in template.functions.items()}
    state_timeouts = _state_timeouts(team) | _state_timeouts(coordinator)

    assert c.CLICKHOUSE_MAX_EXECUTION_SECONDS < c.CLICKHOUSE_CLIENT_TIMEOUT_SECONDS
    for function in CLICKHOUSE_FUNCTIONS:
        assert lambda_timeouts[function] > c.CLICKHOUSE_CLIENT_TIMEOUT_SECONDS
    assert lambda_timeouts["summarize_trace"] > c.MODEL_TIMEOUT_SECONDS
    assert lambda_timeouts["summarize_trace"] > c.KAFKA_DELIVERY_TIMEOUT_SECONDS
    for function, timeout in lambda_timeouts.items():
        if function not in OUTSIDE_THE_WORKFLOW:
            assert timeout < state_timeouts[_state_of(function)]
    for state, timeout in _state_timeouts(team).items():
        assert timeout < team["TimeoutSeconds"], state
    assert team["TimeoutSeconds"] < state_timeouts["SummarizeTeam"] < coordinator["TimeoutSeconds"]


def test_team_that_runs_out_of_time_still_aggregates(template: Template) -> None:
    timeouts = _state_timeouts(template.definition(c.WORKFLOW_NAME))
    last_trace_ends = c.TEAM_DEADLINE_MINUTES * 60 + timeouts["SummarizeTrace"]
    assert last_trace_ends + timeouts["AggregateTeam"] < template.definition(c.WORKFLOW_NAME)["TimeoutSeconds"]


def test_a_team_that_times_out_every_time_fits_into_the_coordinator(template: Template) -> None:
    team, coordinator = template.definition(c.WORKFLOW_NAME), template.definition(c.COORDINATOR_WORKFLOW_NAME)
    tasks = {name: state for name, state in states(coordinator) if state["Type"] == "Task"}
    # The team's machine ends first, so its end is a failed child, which is tried again, and not a task out of time.
    assert team["TimeoutSeconds"] < tasks["SummarizeTeam"]["TimeoutSeconds"]
    assert [retrier["ErrorEquals"] for retrier in tasks["SummarizeTeam"]["Retry"]] == [["States.TaskFailed"]]
    assert _most_attempts(tasks["SummarizeTeam"]) == 2
    assert sum(_most_seconds(task) for task in tasks.values()) < coordinator["TimeoutSeconds"]


def _most_seconds(task: dict[str, Any]) -> int:
    """Seconds of a task whose every attempt takes all of its time and whose every back-off is the longest allowed."""
    delays = sum(retrier["MaxAttempts"] * retrier["MaxDelaySeconds"] for retrier in task["Retry"])
    return int(_most_attempts(task) * task["TimeoutSeconds"] + delays)


def test_every_task_has_a_timeout(machine: Machine) -> None:
    tasks = [state for _, state in states(machine) if state["Type"] == "Task"]
    assert tasks
    assert all(state["TimeoutSeconds"] > 0 for state in tasks)
    assert machine["TimeoutSeconds"] > 0


def _state_timeouts(definition: Machine) -> dict[str, int]:
    return {name: state["TimeoutSeconds"] for name, state in states(definition) if state["Type"] == "Task"}


def _state_of(handler_module: str) -> str:
    return handler_module.replace("_", " ").title().replace(" ", "")


# --- errors ----------------------------------------------------------------------------------------------------------


def _classes(base: type[Exception]) -> set[str]:
    return {base.__name__}.union(*(_classes(child) for child in base.__subclasses__()))


def test_retries_name_only_our_retryable_errors_and_documented_ones(machine: Machine) -> None:
    allowed = {*errors.retryable_error_names(), *LAMBDA_SERVICE_ERRORS, *FUNCTION_FAULTS, "States.TaskFailed"}
    for name, state in states(machine):
        for retrier in state.get("Retry", []):
            assert set(retrier["ErrorEquals"]) <= allowed, name


def test_no_final_error_is_ever_retried(machine: Machine) -> None:
    final = _classes(errors.FinalError)
    assert {"InvalidInput", "ClickHouseAtCapacity"} <= final
    for name, state in states(machine):
        for retrier in state.get("Retry", []):
            assert not final & set(retrier["ErrorEquals"]), name


def test_every_retryable_error_is_retried_wherever_a_function_runs(machine: Machine) -> None:
    for name, state in states(machine):
        if state["Type"] == "Task" and "Function" in state["Resource"]:
            named = {error for retrier in state["Retry"] for error in retrier["ErrorEquals"]}
            assert set(errors.retryable_error_names()) <= named, name


def test_lambda_service_errors_are_those_that_aws_documents() -> None:
    client = boto3.client("lambda", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    of_invoke = {f"Lambda.{shape.name}" for shape in client.meta.service_model.operation_model("Invoke").error_shapes}
    assert set(LAMBDA_SERVICE_ERRORS) <= of_invoke | DOCUMENTED_LAMBDA_ERRORS


def test_every_catch_ends_with_states_all_and_catches_something(machine: Machine) -> None:
    caught = [(name, state["Catch"]) for name, state in states(machine) if "Catch" in state]
    assert caught
    for name, catchers in caught:
        assert catchers[-1]["ErrorEquals"] == ["States.ALL"], name


def test_only_a_trace_and_a_team_are_caught(template: Template) -> None:
    catching = {
        name for machine in MACHINES for name, state in states(template.definition(machine)) if "Catch" in state
    }
    assert catching == {"SummarizeTrace", "SummarizeTeam"}


@pytest.mark.parametrize(
    ("machine", "state", "policy"),
    [
        (c.COORDINATOR_WORKFLOW_NAME, "PlanRun", c.SAMPLE_RETRY_POLICY),
        (c.COORDINATOR_WORKFLOW_NAME, "SummarizeTeam", c.COORDINATOR_CHILD_WORKFLOW_RETRY_POLICY),
        (c.COORDINATOR_WORKFLOW_NAME, "AggregateRun", c.AGGREGATE_RETRY_POLICY),
        (c.WORKFLOW_NAME, "SampleTraces", c.SAMPLE_RETRY_POLICY),
        (c.WORKFLOW_NAME, "SummarizeTrace", c.SUMMARIZE_RETRY_POLICY),
        (c.WORKFLOW_NAME, "AggregateTeam", c.AGGREGATE_RETRY_POLICY),
    ],
)
def test_state_retries_by_its_policy(machine: str, state: str, policy: c.RetryPolicy, template: Template) -> None:
    retriers = dict(states(template.definition(machine)))[state]["Retry"]
    assert _timing(retriers[-1]) == _expected_timing(policy)
    for service_errors in retriers[:-1]:
        assert set(service_errors["ErrorEquals"]) == set(LAMBDA_SERVICE_ERRORS)
        assert _timing(service_errors) == _expected_timing(c.LAMBDA_SERVICE_RETRY_POLICY)


def _timing(retrier: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in retrier.items() if key != "ErrorEquals"}


def _expected_timing(policy: c.RetryPolicy) -> dict[str, Any]:
    return {
        "IntervalSeconds": policy.interval_seconds,
        "MaxAttempts": policy.attempts - 1,  # Step Functions counts retries, the policies count attempts
        "BackoffRate": policy.backoff_rate,
        "MaxDelaySeconds": policy.max_delay_seconds,
        "JitterStrategy": "FULL",
    }


# --- history ---------------------------------------------------------------------------------------------------------


def _most_events_of_item(item_processor: Machine, events_per_attempt: int) -> int:
    """Events of one Map iteration whose every retrier is used up before the error is caught.

    An iteration has MapIterationStarted and MapIterationSucceeded; a state Entered and Exited; a failed attempt
    of a task its Scheduled, Started and Failed events, and of a service integration Submitted as well.
    """
    task = item_processor["States"][item_processor["StartAt"]]
    attempts = _most_attempts(task)
    caught_in = item_processor["States"][task["Catch"][-1]["Next"]]
    assert caught_in["Type"] == "Pass"
    assert caught_in["End"] is True
    return 2 + (2 + attempts * events_per_attempt) + 2


def _most_events_outside(definition: Machine, map_state: str) -> int:
    """Events of everything but the iterations: start and end, the Map's four, and each other task at its worst."""
    tasks = [state for name, state in definition["States"].items() if name != map_state]
    of_tasks = sum(2 + 3 * _most_attempts(task) for task in tasks)
    return 2 + 4 + of_tasks


def _most_attempts(task: dict[str, Any]) -> int:
    """Each retrier counts for itself: errors of different kinds can use up all of them."""
    retries = [int(retrier["MaxAttempts"]) for retrier in task["Retry"]]
    return 1 + sum(retries)


def test_1000_traces_that_fail_every_attempt_fit_into_one_history(template: Template) -> None:
    definition = template.definition(c.WORKFLOW_NAME)
    of_trace = _most_events_of_item(definition["States"]["ForEachTrace"]["ItemProcessor"], events_per_attempt=3)
    assert of_trace == 21
    assert c.MAX_TRACES_LIMIT * of_trace + _most_events_outside(definition, "ForEachTrace") < MAX_HISTORY_EVENTS


def test_all_allowed_teams_failing_every_attempt_fit_into_one_history(template: Template) -> None:
    definition = template.definition(c.COORDINATOR_WORKFLOW_NAME)
    of_team = _most_events_of_item(definition["States"]["ForEachTeam"]["ItemProcessor"], events_per_attempt=4)
    assert c.MAX_ALLOWED_TEAMS * of_team + _most_events_outside(definition, "ForEachTeam") < MAX_HISTORY_EVENTS


# --- payloads --------------------------------------------------------------------------------------------------------


def test_maps_are_inline_over_what_the_first_state_returned(template: Template) -> None:
    teams = template.definition(c.COORDINATOR_WORKFLOW_NAME)["States"]["ForEachTeam"]
    traces = template.definition(c.WORKFLOW_NAME)["States"]["ForEachTrace"]
    assert {teams["ItemProcessor"]["ProcessorConfig"]["Mode"], traces["ItemProcessor"]["ProcessorConfig"]["Mode"]} == {
        "INLINE"
    }
    assert teams["ItemsPath"].removeprefix("$.") in RunPlan.model_fields
    assert teams["MaxConcurrencyPath"].removeprefix("$.") in RunPlan.model_fields
    assert traces["ItemsPath"].removeprefix("$.") in TeamSample.model_fields
    assert traces["MaxConcurrencyPath"] == "$.run.batch_size"


def test_child_execution_gets_the_input_of_the_team_machine(template: Template) -> None:
    states_of_run = dict(states(template.definition(c.COORDINATOR_WORKFLOW_NAME)))
    given = states_of_run["SummarizeTeam"]["Parameters"]["Input"]
    names = {key.removesuffix(".$") for key in given} - {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"}
    assert names == {"team_id", *TeamInputs.model_fields}
    assert names <= set(BatchSummarizationInputs.model_fields)


def test_execution_name_of_a_team_is_new_on_each_attempt_and_short_enough(template: Template) -> None:
    states_of_run = dict(states(template.definition(c.COORDINATOR_WORKFLOW_NAME)))
    name = states_of_run["SummarizeTeam"]["Parameters"]["Name.$"]
    assert name == "States.Format('team-{}-{}-{}', $.team_id, $.run_key, $$.State.RetryCount)"


def test_outcomes_of_teams_are_what_aggregate_run_reads(template: Template) -> None:
    states_of_run = dict(states(template.definition(c.COORDINATOR_WORKFLOW_NAME)))
    completed = {key.removesuffix(".$") for key in states_of_run["SummarizeTeam"]["ResultSelector"]}
    failed = {key.removesuffix(".$") for key in states_of_run["TeamFailed"]["Parameters"]}
    assert completed | failed == set(TeamOutcome.model_fields)
    assert {"traces_queried", "summaries_generated"} <= set(BatchSummarizationMetrics.model_fields)
    assert "Cause" not in json.dumps(states_of_run["TeamFailed"])


def test_outcome_of_a_failed_trace_is_small_and_well_formed(template: Template) -> None:
    given = dict(states(template.definition(c.WORKFLOW_NAME)))["TraceFailed"]["Parameters"]
    longest = max([*_classes(errors.TraceSummarizationError), *LAMBDA_SERVICE_ERRORS], key=len)
    outcome = {"outcome": given["outcome"], "error": longest}
    assert set(given) == {"outcome", "error.$"}
    assert SummarizationActivityResult.model_validate(outcome).outcome == "failed"
    assert len(json.dumps(outcome)) <= c.MAX_OUTCOME_BYTES
