"""Context keys of the CDK app, checked: what a deployment can choose.

`cdk.json`, `cdk.context.json` and `-c key=value` all end up in one context; this module turns it into one frozen model
or into a ContextError that names the key, the value and what is allowed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from adapters.settings import ClickHouseSettings, Identifier, QualifiedTable
from embedding.models import EmbeddingModelName
from infra.schedule_expression import checked_schedule_expression
from trace_summarization import constants as c
from trace_summarization.errors import InvalidInput
from trace_summarization.inputs import parse_inputs
from trace_summarization.models import BatchSummarizationInputs, BatchTraceSummarizationCoordinatorInputs

PythonVersion = Literal["3.11", "3.12", "3.13"]
Architecture = Literal["arm64", "x86_64"]
BundlePlatform = Literal["lambda", "host"]
PollerMode = Literal["default", "provisioned"]
# What CloudWatch Logs accepts (PutRetentionPolicy), without the spans above two years.
RetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]

MAX_NAME_PREFIX_LENGTH = 16
MAX_SCHEDULE_NAME_LENGTH = 24
ALL_TEAMS_SCHEDULE_NAME = "all-teams"

# What `cdk acknowledge` and `cdk cli-telemetry` write into the context.
_CDK_CLI_KEYS = frozenset({"acknowledged-issue-numbers", "cli-telemetry"})

_SECRET_ARN = r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+-[A-Za-z0-9]{6}$"  # noqa: S105 - a pattern
_CLUSTER_ARN = r"^arn:aws[a-z-]*:kafka:[a-z0-9-]+:\d{12}:cluster/[\w-]+/[\w-]+$"
_BROKER = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}")

SecretArn = Annotated[str, Field(pattern=_SECRET_ARN)]
ClusterArn = Annotated[str, Field(pattern=_CLUSTER_ARN)]
SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]
SecurityGroupId = Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]


class ContextError(Exception):
    """The context holds an unknown key or a value that is not allowed; the message names each."""


class _Context(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Schedule(_Context):
    """One EventBridge rule besides the one for all teams."""

    name: str = Field(
        max_length=MAX_SCHEDULE_NAME_LENGTH,
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        description="Part of the rule's name: lower-case letters, digits, single hyphens; each name once.",
    )
    expression: str = Field(description="`cron(...)` or `rate(...)`, in UTC.")
    enabled: bool = Field(True, description="`false` creates the rule disabled.")
    input: dict[str, Any] = Field(
        default={},
        description="Input of each run. With `team_id` the rule starts the team's machine, else the coordinator.",
    )

    @field_validator("expression")
    @classmethod
    def _expression(cls, value: str) -> str:
        return checked_schedule_expression(value)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if value == ALL_TEAMS_SCHEDULE_NAME:
            raise ValueError("is the name of the schedule for all teams: choose another")
        return value

    @field_validator("input")
    @classmethod
    def _input(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _checked_execution_input(value)

    @property
    def starts_one_team(self) -> bool:
        """Whether the rule starts the team machine instead of the coordinator."""
        return "team_id" in self.input


class ClickHouse(_Context):
    """Where the traces are."""

    secret_arn: SecretArn | None = Field(
        None, description="Secret with the connection (JSON). Unset: the stack creates an empty one for you to fill."
    )
    database: Identifier = Field(
        ClickHouseSettings.model_fields["clickhouse_database"].default,
        description="Database of the application's own tables.",
    )
    events_table: QualifiedTable = Field(
        ClickHouseSettings.model_fields["clickhouse_events_table"].default,
        description="Your table of events, as `database.table`.",
    )


class Model(_Context):
    """How the LLM is reached."""

    secret_arn: SecretArn | None = Field(
        None, description="Secret with the API key (JSON). Unset: the stack creates an empty one for you to fill."
    )


class EmbeddingEndpoint(_Context):
    """How the embedding models are reached."""

    secret_arn: SecretArn | None = Field(
        None, description="Secret with the API key (JSON), of the same form as the LLM's. Unset: the LLM's own."
    )


class Kafka(_Context):
    """Where embedding requests go, and how they are read from there."""

    bootstrap_servers: str = Field(description="Brokers as `host:port`, comma-separated.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = Field(
        "SASL_SSL", description="`PLAINTEXT` only within a network of your own."
    )
    sasl_mechanism: Literal["", "AWS_MSK_IAM", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = Field(
        "", description="Needed with `SASL_SSL`, and only with it."
    )
    secret_arn: SecretArn | None = Field(
        None,
        description="Secret of your own with `username` and `password` (JSON), needed for SCRAM and PLAIN. "
        "Lambda reads it when the event source is created: it has to have its value before.",
    )
    cluster_arn: ClusterArn | None = Field(
        None, description="ARN of the MSK cluster, for `AWS_MSK_IAM`: it is the event source, and rights name it."
    )
    root_certificate_secret_arn: SecretArn | None = Field(
        None,
        description="Secret with the root certificate (PEM, JSON key `certificate`) that whoever sends and reads "
        "checks the brokers' TLS certificate by. Unset: a public authority's. Not for `AWS_MSK_IAM`.",
    )
    topic: str = Field(
        c.EMBEDDING_TOPIC, max_length=249, pattern=r"^[A-Za-z0-9._-]+$", description="Topic of the embedding requests."
    )
    batch_size: int = Field(500, ge=1, le=10_000, description="Records of one invocation of `embed-documents` at most.")
    batch_window_seconds: int = Field(
        5, ge=0, le=300, description="How long a batch waits for more records before the function is invoked."
    )
    poller: PollerMode = Field(
        "default",
        description="`provisioned` has pollers of its own, billed by the hour, and the keys below; see "
        "[Reading the queue](#reading-the-queue).",
    )
    minimum_pollers: int | None = Field(None, ge=1, le=200, description="`provisioned` only. Unset: 1.")
    maximum_pollers: int | None = Field(
        None, ge=1, le=2_000, description="`provisioned` only; at most one works per partition. Unset: 2."
    )
    maximum_retry_attempts: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="`provisioned` only: how often records that fail are tried again before they go to the failure "
        "bucket. Unset: 100.",
    )
    maximum_record_age_seconds: int | None = Field(
        None,
        ge=60,
        le=604_800,
        description="`provisioned` only: older records go to the failure bucket untried. Unset: 86400, a day.",
    )
    failure_retention_days: int = Field(
        90, ge=1, le=3_650, description="How long the failure bucket keeps records that cannot be embedded."
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _brokers(cls, value: str) -> str:
        if not all(_BROKER.fullmatch(broker.strip()) for broker in value.split(",")):
            raise ValueError("should be brokers as host:port, separated by commas, such as b-1.example.com:9096")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.security_protocol == "SASL_SSL") != bool(self.sasl_mechanism):
            raise ValueError("sasl_mechanism should be given with security_protocol SASL_SSL, and only with it")
        if (self.sasl_mechanism == "AWS_MSK_IAM") != (self.cluster_arn is not None):
            raise ValueError("cluster_arn should be given with sasl_mechanism AWS_MSK_IAM, and only with it")
        if self.takes_password != (self.secret_arn is not None):
            raise ValueError(
                "secret_arn should be given with sasl_mechanism SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN, and only with it"
            )
        if self.root_certificate_secret_arn is not None and not self.checks_certificate:
            raise ValueError("root_certificate_secret_arn should be given only with SSL, SCRAM or PLAIN")
        return self

    @model_validator(mode="after")
    def _poller_keys(self) -> Self:
        given = [key for key in _PROVISIONED_KEYS if getattr(self, key) is not None]
        if self.poller == "default" and given:
            raise ValueError(f"{', '.join(given)} should be given only with poller provisioned: Lambda takes no others")
        if self.pollers.minimum > self.pollers.maximum:
            raise ValueError(
                f"minimum_pollers should be at most maximum_pollers, got {self.pollers.minimum} and "
                f"{self.pollers.maximum}"
            )
        return self

    @property
    def pollers(self) -> "ProvisionedPollers":
        """What provisioned mode is configured with."""
        given = {key: getattr(self, field) for field, key in _PROVISIONED_KEYS.items()}
        return ProvisionedPollers(**{key: value for key, value in given.items() if value is not None})

    @property
    def checks_certificate(self) -> bool:
        """Whether the event source speaks TLS with brokers of your own."""
        return self.security_protocol == "SSL" or self.takes_password

    @property
    def takes_password(self) -> bool:
        """Whether the broker asks for a user name and a password."""
        return self.sasl_mechanism in {"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"}


@dataclass(frozen=True)
class ProvisionedPollers:
    """How a provisioned event source polls and gives up. A day of attempts outlasts most outages of ClickHouse."""

    minimum: int = 1
    maximum: int = 2
    retry_attempts: int = 100
    record_age_seconds: int = 86_400


_PROVISIONED_KEYS = {
    "minimum_pollers": "minimum",
    "maximum_pollers": "maximum",
    "maximum_retry_attempts": "retry_attempts",
    "maximum_record_age_seconds": "record_age_seconds",
}


class Vpc(_Context):
    """The network of the functions that talk to ClickHouse, Kafka and the LLM. Ids are given: nothing is looked up."""

    subnet_ids: tuple[SubnetId, ...] = Field(
        min_length=1, description="Private subnets; they need a way to the LLM and to AWS (NAT or endpoints)."
    )
    security_group_ids: tuple[SecurityGroupId, ...] = Field(
        min_length=1, description="Security groups that ClickHouse and Kafka let in."
    )


class StackSettings(_Context):
    """Everything that a deployment can choose."""

    name_prefix: str = Field(
        "",
        max_length=MAX_NAME_PREFIX_LENGTH,
        pattern=r"^([a-z][a-z0-9]*(-[a-z0-9]+)*)?$",
        description="Begins every name, so that a second stack fits into the same account and region. "
        "`staging` names the machine `staging-batch-trace-summarization`.",
    )
    python_version: PythonVersion = Field("3.13", description="Runtime of the functions.")
    architecture: Architecture = Field("arm64", description="Processor of the functions.")
    bundle_platform: BundlePlatform = Field(
        "lambda",
        description="`host` bundles wheels of this machine instead of Lambda's: to run the functions locally "
        "where that is not Linux. Not for a deployment.",
    )
    schedule_enabled: bool = Field(True, description="`false` creates the rule for all teams disabled.")
    schedule_expression: str = Field(
        "cron(0 * * * ? *)", description="When the rule for all teams fires: `cron(...)` or `rate(...)`, in UTC."
    )
    schedule_input: dict[str, Any] = Field(
        default={},
        description="Input of each run of all teams, such as `max_traces`; see the inputs of the coordinator.",
    )
    schedules: tuple[Schedule, ...] = Field((), max_length=50, description="Further schedules.")
    log_retention_days: RetentionDays = Field(30, description="How long CloudWatch keeps the logs.")
    clickhouse: ClickHouse = Field(ClickHouse(), description="Where the traces are.")
    model: Model = Field(Model(), description="How the LLM is reached.")
    kafka: Kafka | None = Field(
        None,
        description="Where embedding requests go. "
        "Unset: summaries are written, their embedding requests are counted as failed, and nothing reads a queue.",
    )
    embedding_models: tuple[str, ...] = Field(
        c.DEFAULT_EMBEDDING_MODELS,
        min_length=1,
        max_length=10,
        description="Models that each summary is to be embedded with; a name carries its dimension. Search asks the "
        "first.",
    )
    embedding_endpoint: EmbeddingEndpoint = Field(
        EmbeddingEndpoint(), description="How the embedding models are reached."
    )
    embedding_max_input_tokens: int = Field(
        c.MAX_EMBEDDING_INPUT_TOKENS,
        ge=16,
        le=1_000_000,
        description="Tokens of a text that the embedding models read; longer texts are cut.",
    )
    vpc: Vpc | None = Field(None, description="Network of the functions that leave AWS. Unset: the public internet.")

    @field_validator("schedule_expression")
    @classmethod
    def _expression(cls, value: str) -> str:
        return checked_schedule_expression(value)

    @field_validator("schedule_input")
    @classmethod
    def _schedule_input(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "team_id" in value:
            raise ValueError("team_id belongs to an entry of schedules: this one is for all teams")
        return _checked_execution_input(value)

    @field_validator("embedding_models")
    @classmethod
    def _model_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            EmbeddingModelName.parse(name)
        if len(set(value)) < len(value):
            raise ValueError("each name should stand once")
        return value

    @model_validator(mode="after")
    def _reachable_brokers(self) -> Self:
        if self.kafka is not None and not self.kafka.sasl_mechanism and self.vpc is None:
            raise ValueError(
                "vpc should be given with kafka.security_protocol PLAINTEXT or SSL: Lambda reads from brokers that ask "
                "for no credentials only within a VPC"
            )
        return self

    @field_validator("schedules")
    @classmethod
    def _distinct_names(cls, value: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
        names = [schedule.name for schedule in value]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each name should stand once; repeated: {', '.join(repeated)}")
        return value

    def named(self, name: str) -> str:
        """`name`, or `{name_prefix}-{name}`."""
        return f"{self.name_prefix}-{name}" if self.name_prefix else name

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self:
        """Settings of a CDK context. Keys of the CDK itself are left alone.

        Values given as text, as `-c` does, are read as JSON where the key does not take text. Raises ContextError.
        """
        given = {key: _parsed(key, value) for key, value in context.items() if not _belongs_to_cdk(key)}
        try:
            # Validated as JSON: arrays become tuples and nothing else is converted.
            return cls.model_validate_json(json.dumps(given))
        except ValidationError as error:
            raise ContextError("\n".join(_problem(details) for details in error.errors())) from error


def _belongs_to_cdk(key: str) -> bool:
    # Feature flags and what look-ups keep hold one of these characters.
    return key in _CDK_CLI_KEYS or bool(re.search(r"[@:/]", key))


def _parsed(key: str, value: Any) -> Any:
    field = StackSettings.model_fields.get(key)
    if field is None or not isinstance(value, str) or isinstance(field.default, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # the check that follows says what is allowed


def _checked_execution_input(value: dict[str, Any]) -> dict[str, Any]:
    if "scheduled_time" in value:
        raise ValueError("scheduled_time is set by the rule: leave it out")
    if {"window_start", "window_end"} & value.keys():
        raise ValueError("window_start and window_end would be the same window on every run: give window_minutes")
    try:
        parse_inputs(
            BatchSummarizationInputs if "team_id" in value else BatchTraceSummarizationCoordinatorInputs, value
        )
    except InvalidInput as error:
        raise ValueError(str(error)) from error
    return value


def _problem(details: Any) -> str:
    location = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in details["loc"]).lstrip(".")
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        if len(details["loc"]) == 1:
            return f"context key {location}: unknown; known are {', '.join(StackSettings.model_fields)}"
        return f"context key {location}: unknown"
    if details["type"] == "missing":
        return f"context key {location}: missing"
    value = json.dumps(details["input"], ensure_ascii=False)
    return f"context key {location}: {value if len(value) <= 200 else value[:200] + '...'}: {message}"
