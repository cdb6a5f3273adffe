"""Roles: each function may do what its code does, and nothing else."""

import re
from pathlib import Path

import pytest

from adapters import settings as environment
from infra.bundling import LAMBDAS
from tests.golden_file import assert_golden
from tests.infra.cloudformation import Template, actions, readable, targets
from tests.infra.reachable_code import Code, UnreadableAwsCallError

WITHOUT_QUEUE = (
    "plan_run",
    "sample_traces",
    "summarize_trace",
    "aggregate_team",
    "aggregate_run",
    "search_summaries",
)
HANDLERS = (*WITHOUT_QUEUE, "embed_documents", "requeue_embeddings")
OWN_LOG_GROUP = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACING = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
# AWS defines no narrower resource for these (service authorization reference).
ONLY_ON_EVERYTHING = TRACING | {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:UnassignPrivateIpAddresses",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
}


@pytest.fixture(scope="module")
def code() -> Code:
    return Code(LAMBDAS)


def _granted(template: Template, handler: str) -> set[str]:
    return {action for statement in template.function_statements(handler) for action in actions(statement)}


def test_statements_are_the_reviewed_ones(template: Template, golden_directory: Path) -> None:
    assert_golden(golden_directory / "roles.json", dict(sorted(template.statements.items())))


def test_statements_with_a_queue_are_the_reviewed_ones(queue_template: Template, golden_directory: Path) -> None:
    assert_golden(golden_directory / "roles-queue.json", dict(sorted(queue_template.statements.items())))


def test_statements_of_the_second_stack_are_the_reviewed_ones(
    custom_template: Template, golden_directory: Path
) -> None:
    assert_golden(golden_directory / "roles-custom.json", dict(sorted(custom_template.statements.items())))


def test_every_handler_is_a_function(template: Template, queue_template: Template) -> None:
    modules = {path.stem for path in (LAMBDAS / "handlers").glob("*.py") if "def handler(" in path.read_text()}
    assert modules == set(HANDLERS) == set(queue_template.functions)
    assert set(template.functions) == set(WITHOUT_QUEUE)


@pytest.mark.parametrize("handler", HANDLERS)
def test_every_aws_call_that_a_handler_reaches_is_granted(handler: str, queue_template: Template, code: Code) -> None:
    assert code.aws_actions(f"handlers.{handler}") <= _granted(queue_template, handler)


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_role_grants_what_the_code_calls_and_no_more(handler: str, queue_template: Template, code: Code) -> None:
    called = code.aws_actions(f"handlers.{handler}")
    assert _granted(queue_template, handler) == called | OWN_LOG_GROUP | TRACING


SERVICES = {"secretsmanager": "Secrets Manager", "ssm": "Systems Manager", "dynamodb": "DynamoDB", "s3": "S3"}


def test_the_documentation_names_the_services_that_functions_in_a_vpc_have_to_reach(
    custom_template: Template, code: Code
) -> None:
    page = (LAMBDAS.parent / "docs" / "configuration.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", page.split("## Network")[1], re.MULTILINE)
    named = {function: {name for name in SERVICES.values() if name in text} for function, text in rows}
    called = {
        handler.replace("_", "-"): {
            SERVICES[action.partition(":")[0]] for action in code.aws_actions(f"handlers.{handler}")
        }
        for handler, function in custom_template.functions.items()
        if "VpcConfig" in function
    }
    assert named == called


def test_calls_are_found_at_all(code: Code) -> None:
    assert code.aws_actions("handlers.plan_run") == {"ssm:GetParameter"}
    assert code.aws_actions("handlers.summarize_trace") == {"secretsmanager:GetSecretValue", "dynamodb:UpdateItem"}
    assert code.aws_actions("handlers.embed_documents") == {
        "secretsmanager:GetSecretValue",
        "s3:PutObject",
        "s3:ListBucket",
    }
    assert code.aws_actions("handlers.aggregate_team") == {"secretsmanager:GetSecretValue", "dynamodb:GetItem"}


def test_a_call_of_boto3_is_read_and_an_unreadable_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "import boto3\nfrom storage import save\ndef handler(event): save(event)\n", encoding="utf-8"
    )
    (tmp_path / "storage.py").write_text(
        'import boto3\ndef save(x):\n    s3 = boto3.client("s3")\n    s3.put_object(Body=x)\n'
        'def unused(): boto3.client("sqs").send_message()\n',
        encoding="utf-8",
    )
    (tmp_path / "opaque.py").write_text(
        "import boto3\ndef handler(event): return getattr(boto3.client(event), event)()\n", encoding="utf-8"
    )
    (tmp_path / "shared.py").write_text(
        'def _s3():\n    import boto3\n    return boto3.client("s3")\ndef handler(event): _s3().get_object()\n',
        encoding="utf-8",
    )
    assert Code(tmp_path).aws_actions("plain") == {"s3:PutObject"}
    assert Code(tmp_path).aws_actions("shared") == {"s3:GetObject"}
    with pytest.raises(UnreadableAwsCallError, match=r"opaque\.handler"):
        Code(tmp_path).aws_actions("opaque")


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("stack", ["queue_template", "custom_template"])
def test_a_function_reads_exactly_its_own_secrets(handler: str, stack: str, request: pytest.FixtureRequest) -> None:
    template: Template = request.getfixturevalue(stack)
    variables = template.functions[handler]["Environment"]["Variables"]
    arns = {readable(value) for name, value in variables.items() if name.endswith("_SECRET_ARN") and value}
    if handler == "embed_documents":  # Lambda reads the queue with this function's role
        (mapping,) = template.resources("AWS::Lambda::EventSourceMapping").values()
        accesses = mapping.get("SourceAccessConfigurations", [])
        arns |= {readable(access["URI"]) for access in accesses if ":secret:" in readable(access["URI"])}
    readable_arns = {
        target
        for statement in template.function_statements(handler)
        if "secretsmanager:GetSecretValue" in actions(statement)
        for target in targets(statement)
    }
    assert readable_arns == arns


@pytest.mark.parametrize("stack", ["template", "queue_template", "custom_template"])
def test_no_role_has_a_wildcard_where_aws_takes_a_resource(stack: str, request: pytest.FixtureRequest) -> None:
    template: Template = request.getfixturevalue(stack)
    for role, statements in template.statements.items():
        for statement in statements:
            assert not any("*" in action for action in actions(statement)), role
            if "*" in targets(statement):
                assert set(actions(statement)) <= ONLY_ON_EVERYTHING, role


@pytest.mark.parametrize("stack", ["template", "queue_template", "custom_template"])
def test_no_role_has_a_managed_policy_or_statements_elsewhere(stack: str, request: pytest.FixtureRequest) -> None:
    template: Template = request.getfixturevalue(stack)
    for role, properties in template.resources("AWS::IAM::Role").items():
        assert set(properties) == {"AssumeRolePolicyDocument"}, role


def test_every_function_has_a_role_of_its_own(queue_template: Template) -> None:
    roles = [properties["Role"]["Fn::GetAtt"][0] for properties in queue_template.functions.values()]
    assert len(set(roles)) == len(roles) == len(HANDLERS)


@pytest.mark.parametrize("producer", ["summarize_trace", "requeue_embeddings"])
def test_producer_of_an_msk_cluster_may_write_to_its_topic_only(producer: str, custom_template: Template) -> None:
    granted = {
        (action, target)
        for statement in custom_template.function_statements(producer)
        for action in actions(statement)
        for target in targets(statement)
        if action.startswith("kafka-cluster:")
    }
    cluster = "arn:aws:kafka:eu-central-1:111122223333:cluster/events/0f3c-1"
    topic = "arn:aws:kafka:eu-central-1:111122223333:topic/events/0f3c-1/document_embeddings_input"
    assert granted == {
        ("kafka-cluster:Connect", cluster),
        ("kafka-cluster:WriteDataIdempotently", cluster),
        ("kafka-cluster:DescribeTopic", topic),
        ("kafka-cluster:WriteData", topic),
    }


# --- environment -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("stack", ["queue_template", "custom_template"])
def test_environment_is_what_the_handler_reads(
    handler: str, stack: str, code: Code, request: pytest.FixtureRequest
) -> None:
    template: Template = request.getfixturevalue(stack)
    read = {
        name.upper()
        for definition in code.reachable(f"handlers.{handler}")
        if definition.module == "adapters.settings" and definition.name.endswith("Settings")
        for name in getattr(environment, definition.name).model_fields
    }
    given = set(template.functions[handler]["Environment"]["Variables"])
    assert given == read | {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE"}


@pytest.mark.parametrize("stack", ["queue_template", "custom_template"])
def test_environment_of_every_function_is_valid_for_the_settings_it_feeds(
    stack: str, request: pytest.FixtureRequest
) -> None:
    template: Template = request.getfixturevalue(stack)
    variables = {
        name: readable(value)
        for properties in template.functions.values()
        for name, value in properties["Environment"]["Variables"].items()
    }
    for model in environment.EnvironmentModel.__subclasses__():
        values = model.from_environment(variables)
        assert set(values.model_fields_set) == set(model.model_fields)


def test_environment_carries_the_choices_of_the_deployment(custom_template: Template) -> None:
    variables = custom_template.functions["summarize_trace"]["Environment"]["Variables"]
    kafka = environment.KafkaSettings.from_environment(variables)
    clickhouse = environment.ClickHouseSettings.from_environment(variables)
    assert kafka.kafka_bootstrap_servers == "b-1.example.com:9098,b-2.example.com:9098"
    assert kafka.kafka_sasl_mechanism == "AWS_MSK_IAM"
    assert kafka.embedding_models == ("text-embedding-3-small-1536", "text-embedding-3-large-3072")
    assert clickhouse.clickhouse_events_table == "posthog.events"
    assert clickhouse.clickhouse_database == "summaries"


def test_embedding_functions_get_the_models_and_the_endpoint_of_the_deployment(custom_template: Template) -> None:
    for function in ("embed_documents", "search_summaries"):
        variables = custom_template.functions[function]["Environment"]["Variables"]
        settings = environment.EmbeddingModelSettings.from_environment(variables)
        assert settings.embedding_models == ("text-embedding-3-small-1536", "text-embedding-3-large-3072")
        assert settings.embedding_secret_arn.endswith(":secret:embed-AbCdEf")


def test_without_an_endpoint_of_their_own_embeddings_come_from_the_llm_s(queue_template: Template) -> None:
    model = queue_template.functions["summarize_trace"]["Environment"]["Variables"]["MODEL_SECRET_ARN"]
    for function in ("embed_documents", "search_summaries"):
        assert queue_template.functions[function]["Environment"]["Variables"]["EMBEDDING_SECRET_ARN"] == model


@pytest.mark.parametrize(("stack", "expected"), [("queue_template", False), ("custom_template", True)])
def test_the_worker_answers_with_partial_batches_where_lambda_reads_them(
    stack: str, expected: bool, request: pytest.FixtureRequest
) -> None:
    template: Template = request.getfixturevalue(stack)
    variables = template.functions["embed_documents"]["Environment"]["Variables"]
    readable_variables = {name: readable(value) for name, value in variables.items()}
    settings = environment.EventSourceSettings.from_environment(readable_variables)
    (mapping,) = template.resources("AWS::Lambda::EventSourceMapping").values()
    assert settings.partial_batch_responses is expected
    assert ("ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", [])) is expected
