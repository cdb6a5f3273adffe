"""How embedding requests come out of Kafka: Lambda's event source mapping, its rights, and both of its modes."""

from typing import Any

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.embedding_queue import msk_arn
from infra.failure_bucket import FailureBucket
from infra.settings import Kafka, StackSettings
from infra.storage_settings import Secret
from trace_summarization.constants import SERVICE_NAME

# Lambda API reference, SourceAccessConfiguration. BASIC_AUTH is SASL/PLAIN; there is none for no authentication.
_CREDENTIALS = {
    "SCRAM-SHA-256": "SASL_SCRAM_256_AUTH",
    "SCRAM-SHA-512": "SASL_SCRAM_512_AUTH",
    "PLAIN": "BASIC_AUTH",
}
_Access = lambda_.CfnEventSourceMapping.SourceAccessConfigurationProperty


class EmbeddingEventSource(Construct):
    """The mapping from the topic to `embed_documents`: MSK with IAM when the cluster's ARN is given, else any brokers.

    In the default mode Lambda delivers a batch again until the function takes it. In provisioned mode it also takes
    partial batch responses, splits batches that fail, and gives up on records that stay broken or get too old: those go
    to the failure bucket.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StackSettings,
        kafka: Kafka,
        secret: Secret | None,
        failure_bucket: FailureBucket,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._kafka = kafka
        self._secret = secret
        self._failure_bucket = failure_bucket
        self.consumer_group = settings.named(f"{SERVICE_NAME}-embed-documents")

    @property
    def takes_partial_responses(self) -> bool:
        """Whether Lambda reads which records of a batch failed from what the function returns."""
        return self._kafka.poller == "provisioned"

    def invoke(self, function: lambda_.Function) -> None:
        """Create the mapping. The function's role needs `statements` before."""
        lambda_.CfnEventSourceMapping(
            self,
            "Mapping",
            function_name=function.function_arn,
            topics=[self._kafka.topic],
            starting_position="TRIM_HORIZON",
            batch_size=self._kafka.batch_size,
            maximum_batching_window_in_seconds=self._kafka.batch_window_seconds,
            **self._source(),
            **self._provisioned_mode(),
        )

    def statements(self) -> list[iam.PolicyStatement]:
        """What Lambda needs of the function's role to read the topic and to keep what it gives up on."""
        statements = self._access_statements()
        if self._kafka.poller == "provisioned":
            statements += self._failure_bucket.destination_statements()
        return statements

    def _source(self) -> dict[str, Any]:
        if self._kafka.cluster_arn is not None:
            return {
                "event_source_arn": self._kafka.cluster_arn,
                "amazon_managed_kafka_event_source_config": (
                    lambda_.CfnEventSourceMapping.AmazonManagedKafkaEventSourceConfigProperty(
                        consumer_group_id=self.consumer_group
                    )
                ),
            }
        brokers = [broker.strip() for broker in self._kafka.bootstrap_servers.split(",")]
        return {
            "self_managed_event_source": lambda_.CfnEventSourceMapping.SelfManagedEventSourceProperty(
                endpoints=lambda_.CfnEventSourceMapping.EndpointsProperty(kafka_bootstrap_servers=brokers)
            ),
            "self_managed_kafka_event_source_config": (
                lambda_.CfnEventSourceMapping.SelfManagedKafkaEventSourceConfigProperty(
                    consumer_group_id=self.consumer_group
                )
            ),
            "source_access_configurations": self._access(),
        }

    def _access(self) -> list[_Access]:
        access = []
        if self._secret is not None:
            access.append(_Access(type=_CREDENTIALS[self._kafka.sasl_mechanism], uri=self._secret.arn))
        if self._kafka.root_certificate_secret_arn is not None:
            certificate = self._kafka.root_certificate_secret_arn
            access.append(_Access(type="SERVER_ROOT_CA_CERTIFICATE", uri=certificate))
        if (vpc := self._settings.vpc) is not None:
            access += [_Access(type="VPC_SUBNET", uri=f"subnet:{subnet}") for subnet in vpc.subnet_ids]
            access += [
                _Access(type="VPC_SECURITY_GROUP", uri=f"security_group:{group}") for group in vpc.security_group_ids
            ]
        return access

    def _provisioned_mode(self) -> dict[str, Any]:
        if self._kafka.poller != "provisioned":
            return {}
        pollers = self._kafka.pollers
        return {
            "provisioned_poller_config": lambda_.CfnEventSourceMapping.ProvisionedPollerConfigProperty(
                minimum_pollers=pollers.minimum, maximum_pollers=pollers.maximum
            ),
            "function_response_types": ["ReportBatchItemFailures"],
            "bisect_batch_on_function_error": True,
            "maximum_retry_attempts": pollers.retry_attempts,
            "maximum_record_age_in_seconds": pollers.record_age_seconds,
            "destination_config": lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(destination=self._failure_bucket.arn)
            ),
        }

    def _access_statements(self) -> list[iam.PolicyStatement]:
        if self._kafka.cluster_arn is not None:
            return [*self._msk_statements(self._kafka.cluster_arn), _network_statement()]
        statements = []
        if self._secret is not None:
            statements.append(self._secret.read_statement())
        if self._kafka.root_certificate_secret_arn is not None:
            statements.append(Secret(self._kafka.root_certificate_secret_arn).read_statement())
        if self._settings.vpc is not None:
            statements.append(_network_statement())
        return statements

    def _msk_statements(self, cluster_arn: str) -> list[iam.PolicyStatement]:
        # Lambda guide, "Configuring permissions for Amazon MSK event sources".
        return [
            iam.PolicyStatement(
                actions=["kafka:DescribeCluster", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"],
                resources=[cluster_arn],
            ),
            iam.PolicyStatement(
                actions=["kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration"],
                resources=[cluster_arn],
            ),
            iam.PolicyStatement(
                actions=["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"],
                resources=[msk_arn(cluster_arn, "topic", self._kafka.topic)],
            ),
            iam.PolicyStatement(
                actions=["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"],
                resources=[msk_arn(cluster_arn, "group", self.consumer_group)],
            ),
        ]


def _network_statement() -> iam.PolicyStatement:
    """What Lambda needs to reach brokers within a VPC; AWS defines no narrower resource for these."""
    return iam.PolicyStatement(
        actions=[
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ],
        resources=["*"],
    )
