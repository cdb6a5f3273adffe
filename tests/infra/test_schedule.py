"""The rules: what they start, with what input, and what becomes of a start that failed."""

import json
from typing import Any

import pytest

from infra.synthesis import cached_synthesis, host_context
from tests.infra.cloudformation import Template, readable
from trace_summarization.models import BatchSummarizationInputs, BatchTraceSummarizationCoordinatorInputs

FIRED_AT = "2026-01-15T12:00:00Z"


def _rules(template: Template) -> dict[str, dict[str, Any]]:
    return {rule["Name"]: rule for rule in template.resources("AWS::Events::Rule").values()}


def _only_target(rule: dict[str, Any]) -> dict[str, Any]:
    (target,) = rule["Targets"]
    return dict(target)


def _input_when_fired(rule: dict[str, Any]) -> dict[str, Any]:
    """What EventBridge makes of the input transformer: a variable in the template becomes a JSON value."""
    transformer = _only_target(rule)["InputTransformer"]
    text: str = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        assert path == "$.time"
        text = text.replace(f"<{name}>", json.dumps(FIRED_AT))
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_all_teams_run_at_every_full_hour(template: Template) -> None:
    (rule,) = _rules(template).values()
    assert rule["Name"] == "trace-summarization-all-teams"
    assert rule["State"] == "ENABLED"
    assert rule["ScheduleExpression"] == "cron(0 * * * ? *)"
    assert readable(_only_target(rule)["Arn"]) == "${WorkflowCoordinator}"


def test_the_rule_passes_its_own_time(template: Template) -> None:
    (rule,) = _rules(template).values()
    assert _input_when_fired(rule) == {"scheduled_time": FIRED_AT}


@pytest.mark.parametrize("stack", ["template", "custom_template"])
def test_a_start_that_fails_is_kept_and_not_made_up_for_too_late(stack: str, request: pytest.FixtureRequest) -> None:
    template: Template = request.getfixturevalue(stack)
    for rule in _rules(template).values():
        target = _only_target(rule)
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 2 * 60 * 60
        assert readable(target["DeadLetterConfig"]["Arn"]) == "${SchedulesDeadLetterQueue.Arn}"


def test_the_queue_is_encrypted_takes_tls_only_and_only_from_the_rules(custom_template: Template) -> None:
    (queue,) = custom_template.resources("AWS::SQS::Queue").values()
    assert queue["SqsManagedSseEnabled"] is True
    (policy,) = custom_template.resources("AWS::SQS::QueuePolicy").values()
    denied, *allowed = readable(policy["PolicyDocument"]["Statement"])
    assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    senders = {statement["Condition"]["ArnEquals"]["aws:SourceArn"] for statement in allowed}
    assert senders == {f"${{SchedulesRules{name}.Arn}}" for name in ("allteams", "team42", "nightly")}
    assert {statement["Principal"]["Service"] for statement in allowed} == {"events.amazonaws.com"}


def test_context_retimes_and_disables_the_rule_for_all_teams(custom_template: Template) -> None:
    rule = _rules(custom_template)["staging-trace-summarization-all-teams"]
    assert rule["State"] == "DISABLED"
    assert rule["ScheduleExpression"] == "rate(30 minutes)"
    assert _input_when_fired(rule) == {"max_traces": 250, "mode": "minimal", "scheduled_time": FIRED_AT}


def test_a_further_schedule_for_one_team_starts_the_team_machine(custom_template: Template) -> None:
    rule = _rules(custom_template)["staging-trace-summarization-team-42"]
    assert rule["State"] == "ENABLED"
    assert rule["ScheduleExpression"] == "cron(0/15 * * * ? *)"
    assert readable(_only_target(rule)["Arn"]) == "${WorkflowTeamMachine}"
    assert _input_when_fired(rule)["team_id"] == 42


def test_a_further_schedule_for_all_teams_starts_the_coordinator(custom_template: Template) -> None:
    rule = _rules(custom_template)["staging-trace-summarization-nightly"]
    assert rule["State"] == "DISABLED"
    assert readable(_only_target(rule)["Arn"]) == "${WorkflowCoordinator}"


@pytest.mark.slow
def test_schedules_of_nearly_the_same_name_and_of_the_queues_name_stand_beside_each_other() -> None:
    names = ["team-1", "team1", "dead-letter-queue", "allteams", "rules"]
    schedules = [{"name": name, "expression": "rate(1 hour)"} for name in names]
    document = Template(cached_synthesis({**host_context(), "schedules": schedules})).document
    rules = [body for body in document["Resources"].values() if body["Type"] == "AWS::Events::Rule"]
    expected = [f"trace-summarization-{name}" for name in ("all-teams", *names)]
    assert sorted(rule["Properties"]["Name"] for rule in rules) == sorted(expected)


def test_every_input_that_a_rule_sends_is_one_that_its_machine_takes(custom_template: Template) -> None:
    for rule in _rules(custom_template).values():
        one_team = readable(_only_target(rule)["Arn"]) == "${WorkflowTeamMachine}"
        model = BatchSummarizationInputs if one_team else BatchTraceSummarizationCoordinatorInputs
        assert model.model_validate(_input_when_fired(rule)).scheduled_time is not None


@pytest.mark.parametrize("stack", ["template", "custom_template"])
def test_a_rule_may_start_its_own_machine_only(stack: str, request: pytest.FixtureRequest) -> None:
    template: Template = request.getfixturevalue(stack)
    for rule in _rules(template).values():
        target = readable(_only_target(rule))
        role = target["RoleArn"].removeprefix("${").removesuffix(".Arn}")
        (statement,) = template.statements[role]
        assert (statement["Action"], statement["Resource"]) == ("states:StartExecution", target["Arn"])
