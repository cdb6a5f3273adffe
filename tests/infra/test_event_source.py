"""How embedding requests are read: one event source mapping for every kind of broker, in both of its modes."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_

from infra.embedding_queue import EmbeddingQueue
from infra.event_source import EmbeddingEventSource
from infra.failure_bucket import FailureBucket
from infra.settings import StackSettings
from tests.infra.cloudformation import Statement, Template, actions, readable, targets
from trace_summarization.constants import EMBED_LAMBDA_TIMEOUT_SECONDS

SECRET = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:kafka-AbCdEf"
CERTIFICATE = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ca-AbCdEf"
CLUSTER = "arn:aws:kafka:eu-central-1:111122223333:cluster/events/0f3c-1"
NETWORK = {"subnet_ids": ["subnet-0a1b2c3d", "subnet-0a1b2c3e"], "security_group_ids": ["sg-0a1b2c3d"]}
IN_NETWORK = [
    {"Type": "VPC_SUBNET", "URI": "subnet:subnet-0a1b2c3d"},
    {"Type": "VPC_SUBNET", "URI": "subnet:subnet-0a1b2c3e"},
    {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-0a1b2c3d"},
]
NETWORK_ACTIONS = {
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
}
LAMBDA_KAFKA_TIMEOUT_SECONDS = 14 * 60  # the longest of a function behind a Kafka event source
PASSWORD = {"sasl_mechanism": "PLAIN", "secret_arn": SECRET}
MSK = {"bootstrap_servers": "b-1.example.com:9098", "sasl_mechanism": "AWS_MSK_IAM", "cluster_arn": CLUSTER}


class Source:
    """The mapping that a context leads to, and the statements that come with it."""

    def __init__(self, tmp_path: Path, kafka: dict[str, Any], **context: Any) -> None:
        chosen = {"bootstrap_servers": "b-1.example.com:9096, b-2.example.com:9096", **kafka}
        settings = StackSettings.from_context({"kafka": chosen, **context})
        assert settings.kafka is not None
        app = cdk.App()
        stack = cdk.Stack(app, "Stack")
        queue = EmbeddingQueue(stack, "Queue", settings)
        bucket = FailureBucket(stack, "Failures", settings.kafka.failure_retention_days)
        source = EmbeddingEventSource(stack, "Source", settings, settings.kafka, queue.secret, bucket)
        function = lambda_.Function(
            stack,
            "Function",
            code=lambda_.Code.from_inline("handler = print"),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
        )
        for statement in source.statements():
            function.add_to_role_policy(statement)
        source.invoke(function)
        path = tmp_path / "template.json"
        path.write_text(json.dumps(app.synth().get_stack_by_name("Stack").template), encoding="utf-8")
        self.template = Template(path)
        (self.mapping,) = self.template.resources("AWS::Lambda::EventSourceMapping").values()

    @property
    def access(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = readable(self.mapping.get("SourceAccessConfigurations", []))
        return found

    @property
    def statements(self) -> list[Statement]:
        return [statement for found in self.template.statements.values() for statement in found]

    @property
    def granted(self) -> set[tuple[str, str]]:
        return {
            (action, target)
            for statement in self.statements
            for action in actions(statement)
            for target in targets(statement)
        }


# --- brokers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mechanism", "access_type"),
    [
        ("SCRAM-SHA-256", "SASL_SCRAM_256_AUTH"),
        ("SCRAM-SHA-512", "SASL_SCRAM_512_AUTH"),
        ("PLAIN", "BASIC_AUTH"),
    ],
)
def test_brokers_that_take_a_password_are_read_with_the_producer_s_secret(
    mechanism: str, access_type: str, tmp_path: Path
) -> None:
    source = Source(tmp_path, {"sasl_mechanism": mechanism, "secret_arn": SECRET})
    assert source.access == [{"Type": access_type, "URI": SECRET}]
    assert source.mapping["SelfManagedEventSource"] == {
        "Endpoints": {"KafkaBootstrapServers": ["b-1.example.com:9096", "b-2.example.com:9096"]}
    }
    assert "EventSourceArn" not in source.mapping
    assert source.granted == {("secretsmanager:GetSecretValue", SECRET)}


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_brokers_that_ask_for_nothing_are_read_within_the_network(protocol: str, tmp_path: Path) -> None:
    source = Source(tmp_path, {"security_protocol": protocol}, vpc=NETWORK)
    assert source.access == IN_NETWORK
    assert source.granted == {(action, "*") for action in NETWORK_ACTIONS}


def test_a_private_authority_s_certificate_and_the_network_come_with_the_password(tmp_path: Path) -> None:
    kafka = {**PASSWORD, "root_certificate_secret_arn": CERTIFICATE}
    source = Source(tmp_path, kafka, vpc=NETWORK)
    assert source.access == [
        {"Type": "BASIC_AUTH", "URI": SECRET},
        {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": CERTIFICATE},
        *IN_NETWORK,
    ]
    assert {target for action, target in source.granted if action == "secretsmanager:GetSecretValue"} == {
        SECRET,
        CERTIFICATE,
    }


def test_an_msk_cluster_is_read_by_its_arn_with_rights_on_its_topic_and_group_only(tmp_path: Path) -> None:
    source = Source(tmp_path, MSK)
    assert source.mapping["EventSourceArn"] == CLUSTER
    assert not source.access
    assert "SelfManagedEventSource" not in source.mapping
    topic = "arn:aws:kafka:eu-central-1:111122223333:topic/events/0f3c-1/document_embeddings_input"
    group = "arn:aws:kafka:eu-central-1:111122223333:group/events/0f3c-1/trace-summarization-embed-documents"
    assert source.granted == {
        ("kafka:DescribeCluster", CLUSTER),
        ("kafka:DescribeClusterV2", CLUSTER),
        ("kafka:GetBootstrapBrokers", CLUSTER),
        ("kafka-cluster:Connect", CLUSTER),
        ("kafka-cluster:DescribeClusterDynamicConfiguration", CLUSTER),
        ("kafka-cluster:DescribeTopic", topic),
        ("kafka-cluster:ReadData", topic),
        ("kafka-cluster:AlterGroup", group),
        ("kafka-cluster:DescribeGroup", group),
        *((action, "*") for action in NETWORK_ACTIONS),
    }


@pytest.mark.parametrize(
    ("kafka", "key"),
    [
        (PASSWORD, "SelfManagedKafkaEventSourceConfig"),
        (MSK, "AmazonManagedKafkaEventSourceConfig"),
    ],
)
def test_the_consumer_group_is_the_stack_s_own(kafka: dict[str, Any], key: str, tmp_path: Path) -> None:
    source = Source(tmp_path, kafka, name_prefix="staging")
    assert source.mapping[key] == {"ConsumerGroupId": "staging-trace-summarization-embed-documents"}


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_new_group_begins_with_the_oldest_request(tmp_path: Path) -> None:
    mapping = Source(tmp_path, PASSWORD).mapping
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["Topics"] == ["document_embeddings_input"]
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (500, 5)


def test_batches_are_as_large_and_wait_as_long_as_chosen(tmp_path: Path) -> None:
    mapping = Source(tmp_path, {**PASSWORD, "batch_size": 100, "batch_window_seconds": 0}).mapping
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (100, 0)


def test_the_function_is_shorter_than_a_kafka_event_source_takes(queue_template: Template) -> None:
    timeout = queue_template.functions["embed_documents"]["Timeout"]
    assert timeout == EMBED_LAMBDA_TIMEOUT_SECONDS <= LAMBDA_KAFKA_TIMEOUT_SECONDS


# --- modes -----------------------------------------------------------------------------------------------------------

PROVISIONED_ONLY = {
    "ProvisionedPollerConfig",
    "FunctionResponseTypes",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "DestinationConfig",
}


def test_the_default_mode_has_nothing_that_lambda_takes_in_provisioned_mode_only(tmp_path: Path) -> None:
    assert not PROVISIONED_ONLY & Source(tmp_path, PASSWORD).mapping.keys()


@pytest.mark.parametrize("kafka", [PASSWORD, MSK], ids=["password", "msk"])
def test_a_provisioned_source_gives_up_on_records_into_the_failure_bucket(
    kafka: dict[str, Any], tmp_path: Path
) -> None:
    default = Source(tmp_path, kafka)
    source = Source(tmp_path, {**kafka, "poller": "provisioned"})
    assert {name: readable(source.mapping[name]) for name in PROVISIONED_ONLY} == {
        "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 2},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 100,
        "MaximumRecordAgeInSeconds": 86_400,
        "DestinationConfig": {"OnFailure": {"Destination": "${FailuresBucket.Arn}"}},
    }
    assert source.granted - default.granted == {
        ("s3:PutObject", "${FailuresBucket.Arn}/*"),
        ("s3:ListBucket", "${FailuresBucket.Arn}"),
    }
    of_bucket = [statement for statement in source.statements if "s3:" in actions(statement)[0]]
    own_account = {"StringEquals": {"s3:ResourceAccount": "${AWS::AccountId}"}}
    assert [statement["Condition"] for statement in of_bucket] == [own_account, own_account]


def test_a_provisioned_source_polls_and_gives_up_as_chosen(tmp_path: Path) -> None:
    mapping = Source(
        tmp_path,
        {
            **PASSWORD,
            "poller": "provisioned",
            "minimum_pollers": 3,
            "maximum_pollers": 9,
            "maximum_retry_attempts": 0,
            "maximum_record_age_seconds": 60,
        },
    ).mapping
    assert mapping["ProvisionedPollerConfig"] == {"MinimumPollers": 3, "MaximumPollers": 9}
    assert (mapping["MaximumRetryAttempts"], mapping["MaximumRecordAgeInSeconds"]) == (0, 60)


# --- the failure bucket ----------------------------------------------------------------------------------------------


def test_the_failure_bucket_is_private_and_encrypted_and_outlives_the_stack(queue_template: Template) -> None:
    (bucket,) = queue_template.resources("AWS::S3::Bucket").values()
    assert "BucketName" not in bucket, "names are unique among all accounts"
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    (policy,) = queue_template.resources("AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    (body,) = (b for b in queue_template.document["Resources"].values() if b["Type"] == "AWS::S3::Bucket")
    assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == ("Retain", "Retain")


@pytest.mark.parametrize(("stack", "days"), [("queue_template", 90), ("custom_template", 30)])
def test_the_failure_bucket_forgets_after_the_chosen_time(
    stack: str, days: int, request: pytest.FixtureRequest
) -> None:
    template: Template = request.getfixturevalue(stack)
    (bucket,) = template.resources("AWS::S3::Bucket").values()
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", days)


def test_the_worker_may_put_and_list_broken_records_and_nothing_else_of_the_bucket(queue_template: Template) -> None:
    of_bucket = [
        (actions(statement), targets(statement), statement.get("Condition"))
        for statement in queue_template.function_statements("embed_documents")
        if any(action.startswith("s3:") for action in actions(statement))
    ]
    assert of_bucket == [
        (["s3:PutObject"], ["${FunctionsFailureBucket.Arn}/broken/*"], None),
        (["s3:ListBucket"], ["${FunctionsFailureBucket.Arn}"], {"StringLike": {"s3:prefix": "broken/*"}}),
    ]
