"""How embedding requests reach Kafka: the producer's settings, secret and rights."""

from aws_cdk import Annotations
from aws_cdk import aws_iam as iam
from constructs import Construct

from adapters.settings import KafkaSettings
from infra.settings import Kafka, StackSettings
from infra.storage_settings import Secret


class EmbeddingQueue(Construct):
    """The Kafka topic of embedding requests. The brokers are yours; nothing of them is created here."""

    def __init__(self, scope: Construct, construct_id: str, settings: StackSettings) -> None:
        super().__init__(scope, construct_id)
        self.secret: Secret | None = None
        self._root_certificate: Secret | None = None
        kafka = settings.kafka
        self._kafka = kafka
        if kafka is None:
            Annotations.of(self).add_warning_v2(
                "trace-summarization:no-kafka",
                "context key kafka is not set: summaries will be written, their embedding requests counted as failed",
            )
            self.environment = KafkaSettings(kafka_bootstrap_servers="", embedding_models=settings.embedding_models)
            return
        if kafka.secret_arn is not None:
            self.secret = Secret(kafka.secret_arn)
        if kafka.root_certificate_secret_arn is not None:
            self._root_certificate = Secret(kafka.root_certificate_secret_arn)
        self.environment = KafkaSettings(
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            kafka_security_protocol=kafka.security_protocol,
            kafka_sasl_mechanism=kafka.sasl_mechanism,
            kafka_secret_arn=kafka.secret_arn or "",
            kafka_root_certificate_secret_arn=kafka.root_certificate_secret_arn or "",
            kafka_topic=kafka.topic,
            embedding_models=settings.embedding_models,
        )

    def write_statements(self) -> list[iam.PolicyStatement]:
        """The rights of the producer."""
        secrets = (self.secret, self._root_certificate)
        statements = [secret.read_statement() for secret in secrets if secret is not None]
        if self._kafka is not None and self._kafka.cluster_arn is not None:
            statements += _msk_statements(self._kafka, self._kafka.cluster_arn)
        return statements


def _msk_statements(kafka: Kafka, cluster_arn: str) -> list[iam.PolicyStatement]:
    topic_arn = msk_arn(cluster_arn, "topic", kafka.topic)
    return [
        iam.PolicyStatement(
            actions=["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"], resources=[cluster_arn]
        ),
        iam.PolicyStatement(actions=["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"], resources=[topic_arn]),
    ]


def msk_arn(cluster_arn: str, kind: str, name: str) -> str:
    """ARN of a topic or a group of an MSK cluster: it repeats the cluster's.

    Service authorization reference, "Apis for Amazon MSK clusters".
    """
    return f"{cluster_arn.replace(':cluster/', f':{kind}/', 1)}/{name}"
