"""Context keys of the CDK app, checked: what a deployment can choose.

`cdk.json`, `cdk.context.json` and `-c key=value` all end up in one context; this module turns it into one frozen model
or into a ContextError that names the key, the value and what is allowed.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from adapters.settings import ClickHouseSettings, Identifier, QualifiedTable
from infra.schedule_expression import checked_schedule_expression
from trace_summarization import constants as c
from trace_summarization.errors import InvalidInput
from trace_summarization.inputs import parse_inputs
from trace_summarization.models import BatchSummarizationInputs, BatchTraceSummarizationCoordinatorInputs

PythonVersion = Literal["3.11", "3.12", "3.13"]
Architecture = Literal["arm64", "x86_64"]
BundlePlatform = Literal["lambda", "host"]
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


class Kafka(_Context):
    """Where embedding requests go."""

    bootstrap_servers: str = Field(description="Brokers as `host:port`, comma-separated.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = Field(
        "SASL_SSL", description="`PLAINTEXT` only within a network of your own."
    )
    sasl_mechanism: Literal["", "AWS_MSK_IAM", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = Field(
        "", description="Needed with `SASL_SSL`, and only with it."
    )
    secret_arn: SecretArn | None = Field(
        None,
        description="Secret with `username` and `password` (JSON), for SCRAM and PLAIN. "
        "Unset: the stack creates an empty one for you to fill.",
    )
    cluster_arn: ClusterArn | None = Field(
        None, description="ARN of the MSK cluster, for `AWS_MSK_IAM`: the producer's rights name it."
    )
    topic: str = Field(
        c.EMBEDDING_TOPIC, max_length=249, pattern=r"^[A-Za-z0-9._-]+$", description="Topic of the embedding requests."
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
        if self.secret_arn is not None and not self.takes_password:
            raise ValueError(
                "secret_arn should be given only with sasl_mechanism SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN"
            )
        return self

    @property
    def takes_password(self) -> bool:
        """Whether the broker asks for a user name and a password."""
        return self.sasl_mechanism in {"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"}


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
        "Unset: summaries are written, their embedding requests are counted as failed.",
    )
    embedding_models: tuple[Annotated[str, Field(pattern=r"^[\w./:@-]+$")], ...] = Field(
        c.DEFAULT_EMBEDDING_MODELS,
        min_length=1,
        description="Models that each summary is to be embedded with; a name carries its dimension.",
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
