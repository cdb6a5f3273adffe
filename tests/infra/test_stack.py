"""What the stack is as a whole: names, outputs, allowlist, secrets, functions, logs."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.secrets import ModelSecret
from infra.settings import MAX_NAME_PREFIX_LENGTH, MAX_SCHEDULE_NAME_LENGTH
from tests.infra.cloudformation import Template, readable
from tests.infra.conftest import CUSTOM_CONTEXT
from trace_summarization.constants import ALLOWED_TEAM_IDS, SERVICE_NAME

# Properties that name a resource within an account and region.
_NAMES = ("FunctionName", "LogGroupName", "QueueName", "StateMachineName", "RoleName", "TableName")


def _names(template: Template) -> Iterator[str]:
    for body in template.document["Resources"].values():
        properties = body.get("Properties", {})
        yield from (readable(properties[key]) for key in _NAMES if key in properties)
        if "Name" in properties:
            yield properties["Name"]
    yield from (readable(output["Value"]) for output in template.document["Outputs"].values())


def test_a_second_stack_shares_no_name_with_the_first(queue_template: Template, custom_template: Template) -> None:
    def fixed(names: Iterator[str]) -> set[str]:
        return {name for name in names if not name.startswith(("${", "arn:"))}

    first, second = fixed(_names(queue_template)), fixed(_names(custom_template))
    assert len(first) > 15
    assert not first & second
    assert all("staging-" in name for name in second)
    assert {name.replace("staging-", "") for name in second} >= first


def test_names_are_no_longer_than_aws_takes(custom_template: Template) -> None:
    limits = {"FunctionName": 64, "StateMachineName": 80, "QueueName": 80, "LogGroupName": 512}
    checked = 0
    for body in custom_template.document["Resources"].values():
        for kind, limit in limits.items():
            name = body.get("Properties", {}).get(kind)
            if isinstance(name, str):  # else it refers to a resource that has it
                checked += 1
                assert len(name.replace("staging", "x" * MAX_NAME_PREFIX_LENGTH)) <= limit, name
    assert checked > 10
    longest_rule = f"{'x' * MAX_NAME_PREFIX_LENGTH}-{SERVICE_NAME}-{'x' * MAX_SCHEDULE_NAME_LENGTH}"
    assert len(longest_rule) <= 64


def test_outputs_say_where_everything_is(template: Template) -> None:
    outputs = {name: readable(output["Value"]) for name, output in template.document["Outputs"].items()}
    assert outputs == {
        "CoordinatorStateMachineArn": "${WorkflowCoordinator}",
        "TeamStateMachineArn": "${WorkflowTeamMachine}",
        "TeamAllowlistParameter": "/trace-summarization/allowed-team-ids",
        "TeamSettingsParameter": "/trace-summarization/team-settings",
        "CoordinationTableName": "${FunctionsCoordinationTable}",
        "ClickHouseSecretArn": "${FunctionsClickHouseSecret}",
        "ModelSecretArn": "${FunctionsModelSecret}",
        "AllTeamsRuleName": "${SchedulesRulesallteams}",
        "MissedRunsQueueUrl": "${SchedulesDeadLetterQueue}",
        "PlanRunFunctionName": "${FunctionsPlanRunFunction}",
        "SampleTracesFunctionName": "${FunctionsSampleTracesFunction}",
        "SummarizeTraceFunctionName": "${FunctionsSummarizeTraceFunction}",
        "AggregateTeamFunctionName": "${FunctionsAggregateTeamFunction}",
        "AggregateRunFunctionName": "${FunctionsAggregateRunFunction}",
        "SearchSummariesFunctionName": "${FunctionsSearchSummariesFunction}",
    }


def test_a_queue_adds_its_functions_its_secret_and_its_bucket_to_the_outputs(
    template: Template, queue_template: Template
) -> None:
    added = queue_template.document["Outputs"].keys() - template.document["Outputs"].keys()
    outputs = {name: readable(queue_template.document["Outputs"][name]["Value"]) for name in added}
    assert outputs == {
        "KafkaSecretArn": "${FunctionsEmbeddingQueueSecret}",
        "FailureBucketName": "${FunctionsFailureBucket}",
        "EmbedDocumentsFunctionName": "${FunctionsEmbedDocumentsFunction}",
        "RequeueEmbeddingsFunctionName": "${FunctionsRequeueEmbeddingsFunction}",
    }


def test_without_a_queue_nothing_reads_one(template: Template) -> None:
    assert not template.resources("AWS::Lambda::EventSourceMapping")
    assert not template.resources("AWS::S3::Bucket")


_PARAMETERS = {
    "Custom::TeamAllowlist": ("plan_run", "ALLOWED_TEAM_IDS_PARAMETER", list(ALLOWED_TEAM_IDS)),
    "Custom::TeamSettings": ("sample_traces", "TEAM_SETTINGS_PARAMETER", {}),
}


def _parameter_calls(template: Template, resource_type: str) -> list[dict[str, Any]]:
    (resource,) = template.resources(resource_type).values()
    assert "Delete" not in resource, "a destroy would delete the parameter"
    return [json.loads(readable(resource[event])) for event in ("Create", "Update")]


@pytest.mark.parametrize("resource_type", _PARAMETERS)
def test_a_parameter_is_created_when_absent_and_never_overwritten_or_deleted(
    resource_type: str, template: Template
) -> None:
    for call in _parameter_calls(template, resource_type):
        assert (call["service"], call["action"]) == ("SSM", "PutParameter")
        assert call["parameters"]["Overwrite"] is False
        assert call["ignoreErrorCodesMatching"] == "ParameterAlreadyExists"
        assert json.loads(call["parameters"]["Value"]) == _PARAMETERS[resource_type][2]
    assert not template.resources("AWS::SSM::Parameter")


@pytest.mark.parametrize("resource_type", _PARAMETERS)
def test_a_function_reads_the_parameter_that_is_created(resource_type: str, custom_template: Template) -> None:
    handler, variable, _ = _PARAMETERS[resource_type]
    names = {call["parameters"]["Name"] for call in _parameter_calls(custom_template, resource_type)}
    assert names == {custom_template.functions[handler]["Environment"]["Variables"][variable]}


def test_the_coordination_table_forgets_by_itself_and_goes_with_the_stack(template: Template) -> None:
    (table,) = template.resources("AWS::DynamoDB::Table").values()
    assert table["TableName"] == "trace-summarization-coordination"
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    (body,) = (b for b in template.document["Resources"].values() if b["Type"] == "AWS::DynamoDB::Table")
    assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == ("Delete", "Delete")


def test_created_secrets_hold_no_value_that_a_deploy_could_put_over_yours(template: Template) -> None:
    secrets = template.resources("AWS::SecretsManager::Secret")
    assert len(secrets) == 2
    for properties in secrets.values():
        assert set(properties) == {"Description"}


def test_the_model_secret_s_description_names_all_that_it_may_hold(template: Template) -> None:
    secrets = template.resources("AWS::SecretsManager::Secret").values()
    [told] = [each["Description"] for each in secrets if "LLM" in each["Description"]]
    assert set(re.findall(r'"(\w+)"', told)) == set(ModelSecret.model_fields)


def test_given_secrets_are_used_and_none_created(custom_template: Template) -> None:
    assert not custom_template.resources("AWS::SecretsManager::Secret")
    variables = custom_template.functions["summarize_trace"]["Environment"]["Variables"]
    assert variables["CLICKHOUSE_SECRET_ARN"] == CUSTOM_CONTEXT["clickhouse"]["secret_arn"]  # type: ignore[index] # a literal of mixed values
    assert variables["MODEL_SECRET_ARN"] == CUSTOM_CONTEXT["model"]["secret_arn"]  # type: ignore[index] # the same


@pytest.mark.parametrize(("stack", "days"), [("template", 30), ("custom_template", 7)])
def test_every_function_and_machine_logs_to_a_group_of_its_own_with_the_chosen_retention(
    stack: str, days: int, request: pytest.FixtureRequest
) -> None:
    template: Template = request.getfixturevalue(stack)
    groups = template.resources("AWS::Logs::LogGroup")
    assert {group["RetentionInDays"] for group in groups.values()} == {days}
    used = [
        readable(function["LoggingConfig"]["LogGroup"])
        for function in template.resources("AWS::Lambda::Function").values()
    ] + [
        readable(machine["LoggingConfiguration"]["Destinations"][0]["CloudWatchLogsLogGroup"]["LogGroupArn"])
        for machine in template.machines.values()
    ]
    assert sorted(name.removeprefix("${").removesuffix("}").removesuffix(".Arn") for name in used) == sorted(groups)


def test_functions_share_one_bundle_and_reserve_no_concurrency(template: Template) -> None:
    assert len({function["Code"]["S3Key"] for function in template.functions.values()}) == 1
    for function in template.functions.values():
        assert "ReservedConcurrentExecutions" not in function
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["Handler"].startswith("handlers.")


def test_only_functions_that_leave_aws_are_in_the_vpc(template: Template, custom_template: Template) -> None:
    attached = {name for name, function in custom_template.functions.items() if "VpcConfig" in function}
    assert attached == {
        "sample_traces",
        "summarize_trace",
        "aggregate_team",
        "search_summaries",
        "embed_documents",
        "requeue_embeddings",
    }
    assert custom_template.functions["summarize_trace"]["VpcConfig"] == {
        "SubnetIds": ["subnet-0a1b2c3d"],
        "SecurityGroupIds": ["sg-0a1b2c3d"],
    }
    assert not any("VpcConfig" in function for function in template.functions.values())
