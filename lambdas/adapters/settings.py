"""Environment variables of the Lambdas: read once, at the edge, into checked models.

`infra/functions.py` sets exactly these; a test compares the two. Secrets never stand here, only their ARNs.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from trace_summarization import constants as c
from trace_summarization.errors import InvalidConfiguration


def _comma_separated(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_comma_separated)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
QualifiedTable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$")]


class EnvironmentModel(BaseModel):
    """Settings read from environment variables named like the fields, in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings. Raises InvalidConfiguration naming each variable that is missing or malformed."""
        given = {name: environment[name.upper()] for name in cls.model_fields if name.upper() in environment}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
            raise InvalidConfiguration(f"environment variables: {problems}") from error


class AllowlistSettings(EnvironmentModel):
    """Where the team allowlist is: an SSM parameter."""

    allowed_team_ids_parameter: str


class ClickHouseSettings(EnvironmentModel):
    """Where the traces are. The secret is JSON: host, port, username, password, secure (default true)."""

    clickhouse_secret_arn: str
    clickhouse_database: Identifier = "trace_summarization"
    clickhouse_events_table: QualifiedTable = "default.events"


class ModelSettings(EnvironmentModel):
    """How the model is reached. The secret is JSON: api_key, base_url (default OpenAI's), provider (default: host)."""

    model_secret_arn: str


class KafkaSettings(EnvironmentModel):
    """Where embedding requests go, and how. Empty: no such secret.

    The secrets are JSON: one holds username and password, the other one certificate, the PEM of the authority that
    vouches for the brokers.
    """

    kafka_bootstrap_servers: str
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = "SASL_SSL"
    kafka_sasl_mechanism: Literal["", "AWS_MSK_IAM", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = ""
    kafka_secret_arn: str = ""
    kafka_root_certificate_secret_arn: str = ""
    kafka_topic: str = c.EMBEDDING_TOPIC
    embedding_models: Names = c.DEFAULT_EMBEDDING_MODELS


class EmbeddingModelSettings(EnvironmentModel):
    """How the embedding models are reached, and which ones: the first of them is what search asks.

    The secret is that of a model (see `ModelSettings`): the LLM's own, or another where embeddings have another
    endpoint.
    """

    embedding_secret_arn: str
    embedding_models: Names = c.DEFAULT_EMBEDDING_MODELS
    embedding_max_input_tokens: int = Field(c.MAX_EMBEDDING_INPUT_TOKENS, ge=16, le=1_000_000)


class EventSourceSettings(EnvironmentModel):
    """How the Kafka event source takes what a batch comes to, and where broken records go (an S3 bucket)."""

    failure_bucket: str = Field(min_length=3)
    partial_batch_responses: bool = False


class SpendingSettings(EnvironmentModel):
    """Where the ledger of what a run has spent is: a DynamoDB table."""

    coordination_table: str = Field(min_length=3)


class TeamParameterSettings(EnvironmentModel):
    """Where the team settings are: an SSM parameter."""

    team_settings_parameter: str


class DeadlineSettings(EnvironmentModel):
    """How long a team's run starts new summaries."""

    team_deadline_minutes: float = Field(c.TEAM_DEADLINE_MINUTES, gt=0, le=c.TEAM_DEADLINE_MINUTES)
