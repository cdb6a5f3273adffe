"""The Lambda functions: each with its handler, limits, environment, log group and a role with just its rights."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from aws_cdk import Annotations, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from adapters.settings import (
    AllowlistSettings,
    ClickHouseSettings,
    DeadlineSettings,
    EmbeddingModelSettings,
    EnvironmentModel,
    EventSourceSettings,
    ModelSettings,
    SpendingSettings,
    TeamParameterSettings,
)
from infra.bundling import BundleTarget, staged_bundle
from infra.coordination import CoordinationTable
from infra.embedding_queue import EmbeddingQueue
from infra.event_source import EmbeddingEventSource
from infra.failure_bucket import FailureBucket
from infra.monitoring import log_group
from infra.settings import StackSettings, Vpc
from infra.storage_settings import EditableParameters, Secret, secret
from trace_summarization import constants as c

_ARCHITECTURES = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}


@dataclass(frozen=True)
class _Function:
    """What one function is. `handler_module` names it: plan_run runs `handlers/plan_run.py`."""

    handler_module: str
    description: str
    timeout_seconds: int
    memory_mb: int
    environment: Sequence[EnvironmentModel] = ()
    statements: Sequence[iam.PolicyStatement] = ()
    leaves_aws: bool = True  # talks to ClickHouse, Kafka or the LLM: in the VPC when there is one


class Functions(Construct):
    """All functions, sharing one bundle. None has reserved concurrency: `batch_size` bounds what runs at once."""

    def __init__(self, scope: Construct, construct_id: str, settings: StackSettings) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        parameters = EditableParameters(self, "Parameters", settings)
        self.allowlist = parameters.allowlist
        self.team_settings = parameters.team_settings
        self.coordination = CoordinationTable(self, "Coordination", settings)
        self.clickhouse_secret = secret(
            self,
            "ClickHouseSecret",
            settings.clickhouse.secret_arn,
            "ClickHouse connection of trace summarization: "
            '{"host": ..., "port": ..., "username": ..., "password": ..., "secure": true}',
        )
        self.model_secret = secret(
            self,
            "ModelSecret",
            settings.model.secret_arn,
            'LLM access of trace summarization: {"api_key": ...}; optional: "base_url", "provider", "headers", '
            '"query", "service_tier"',
        )
        own_endpoint = settings.embedding_endpoint.secret_arn
        self.embedding_secret = Secret(own_endpoint) if own_endpoint is not None else self.model_secret
        self.embedding_queue = EmbeddingQueue(self, "EmbeddingQueue", settings)
        self.failure_bucket: FailureBucket | None = None
        self._event_source: EmbeddingEventSource | None = None
        if settings.kafka is not None:
            self.failure_bucket = FailureBucket(self, "FailureBucket", settings.kafka.failure_retention_days)
            self._event_source = EmbeddingEventSource(
                self, "EventSource", settings, settings.kafka, self.embedding_queue.secret, self.failure_bucket
            )
        with staged_bundle(BundleTarget.of(settings)) as bundle:
            if not bundle.has_bytecode:
                Annotations.of(self).add_warning_v2(
                    "trace-summarization:no-bytecode",
                    f"found no Python {settings.python_version} to compile the bundle: cold starts will be slower. "
                    f"Install it and synthesize again: uv python install {settings.python_version}",
                )
            self._code = lambda_.Code.from_asset(str(bundle.path))
            functions = {spec.handler_module: self._create(spec) for spec in self._specifications()}
        self.plan_run = functions["plan_run"]
        self.sample_traces = functions["sample_traces"]
        self.summarize_trace = functions["summarize_trace"]
        self.aggregate_team = functions["aggregate_team"]
        self.aggregate_run = functions["aggregate_run"]
        self.by_module = functions
        if self._event_source is not None:
            self._event_source.invoke(functions["embed_documents"])

    def _specifications(self) -> list[_Function]:
        chosen = self._settings.clickhouse
        clickhouse = ClickHouseSettings(
            clickhouse_secret_arn=self.clickhouse_secret.arn,
            clickhouse_database=chosen.database,
            clickhouse_events_table=chosen.events_table,
        )
        read_clickhouse_secret = self.clickhouse_secret.read_statement()
        spending = SpendingSettings(coordination_table=self.coordination.table_name)
        embedding_models = EmbeddingModelSettings(
            embedding_secret_arn=self.embedding_secret.arn,
            embedding_models=self._settings.embedding_models,
            embedding_max_input_tokens=self._settings.embedding_max_input_tokens,
        )
        return [
            _Function(
                "plan_run",
                "Validates the run's input, fixes its window, reads the team allowlist",
                c.PLAN_LAMBDA_TIMEOUT_SECONDS,
                memory_mb=512,
                environment=[
                    AllowlistSettings(allowed_team_ids_parameter=self.allowlist.name),
                    TeamParameterSettings(team_settings_parameter=self.team_settings.name),
                ],
                statements=[self.allowlist.read_statement(), self.team_settings.read_statement()],
                leaves_aws=False,
            ),
            _Function(
                "sample_traces",
                "Picks the traces of one team's window",
                c.SAMPLE_LAMBDA_TIMEOUT_SECONDS,
                memory_mb=512,
                environment=[
                    clickhouse,
                    DeadlineSettings(),
                    TeamParameterSettings(team_settings_parameter=self.team_settings.name),
                ],
                statements=[read_clickhouse_secret, self.team_settings.read_statement()],
            ),
            _Function(
                "summarize_trace",
                "Fetches, renders and summarizes one trace, stores the summary, queues its embedding",
                c.GENERATE_SUMMARY_LAMBDA_TIMEOUT_SECONDS,
                memory_mb=1769,  # one whole processor (Lambda's rule): rendering and starting up are bound by it
                environment=[
                    clickhouse,
                    ModelSettings(model_secret_arn=self.model_secret.arn),
                    spending,
                    self.embedding_queue.environment,
                ],
                statements=[
                    read_clickhouse_secret,
                    self.model_secret.read_statement(),
                    self.coordination.update_statement(),
                    *self.embedding_queue.write_statements(),
                ],
            ),
            _Function(
                "aggregate_team",
                "Adds up one team's outcomes and records the window as done",
                c.AGGREGATE_LAMBDA_TIMEOUT_SECONDS,
                memory_mb=512,
                environment=[clickhouse, spending],
                statements=[read_clickhouse_secret, self.coordination.read_statement()],
            ),
            _Function(
                "aggregate_run",
                "Adds up the outcomes of all teams",
                c.AGGREGATE_LAMBDA_TIMEOUT_SECONDS,
                memory_mb=256,
                leaves_aws=False,
            ),
            _Function(
                "search_summaries",
                "Finds a team's summaries by meaning and by words",
                c.SEARCH_LAMBDA_TIMEOUT_SECONDS,
                memory_mb=1024,
                environment=[clickhouse, embedding_models],
                statements=[read_clickhouse_secret, self.embedding_secret.read_statement()],
            ),
            *self._queue_specifications(clickhouse, embedding_models),
        ]

    def _queue_specifications(
        self, clickhouse: ClickHouseSettings, embedding_models: EmbeddingModelSettings
    ) -> list[_Function]:
        """The functions that make no sense without a queue."""
        if self._event_source is None or self.failure_bucket is None:
            return []
        read_clickhouse_secret = self.clickhouse_secret.read_statement()
        return [
            _Function(
                "embed_documents",
                "Turns queued embedding requests into rows of document_embeddings",
                c.EMBED_LAMBDA_TIMEOUT_SECONDS,
                memory_mb=1024,
                environment=[
                    clickhouse,
                    embedding_models,
                    EventSourceSettings(
                        failure_bucket=self.failure_bucket.name,
                        partial_batch_responses=self._event_source.takes_partial_responses,
                    ),
                ],
                statements=[
                    read_clickhouse_secret,
                    self.embedding_secret.read_statement(),
                    *self.failure_bucket.keep_statements(),
                    *self._event_source.statements(),
                ],
            ),
            _Function(
                "requeue_embeddings",
                "Queues anew the summaries that have no row for an embedding model",
                c.REQUEUE_LAMBDA_TIMEOUT_SECONDS,
                memory_mb=512,
                environment=[clickhouse, self.embedding_queue.environment],
                statements=[read_clickhouse_secret, *self.embedding_queue.write_statements()],
            ),
        ]

    def _create(self, spec: _Function) -> lambda_.Function:
        name = self._settings.named(f"{c.SERVICE_NAME}-{spec.handler_module.replace('_', '-')}")
        scope = Construct(self, state_name(spec.handler_module))
        logs = log_group(scope, "Logs", f"/aws/lambda/{name}", self._settings)
        role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        logs.grant_write(role)
        for statement in spec.statements:
            role.add_to_policy(statement)
        function = lambda_.Function(
            scope,
            "Function",
            function_name=name,
            description=spec.description,
            code=self._code,
            handler=f"handlers.{spec.handler_module}.handler",
            runtime=lambda_.Runtime(f"python{self._settings.python_version}", lambda_.RuntimeFamily.PYTHON),
            architecture=_ARCHITECTURES[self._settings.architecture],
            timeout=Duration.seconds(spec.timeout_seconds),
            memory_size=spec.memory_mb,
            environment=_environment_variables(self._settings, spec.environment),
            role=role,
            log_group=logs,
            tracing=lambda_.Tracing.ACTIVE,
        )
        if spec.leaves_aws and self._settings.vpc is not None:
            _attach(function, role, self._settings.vpc)
        return function


def state_name(handler_module: str) -> str:
    """Name of the state that runs a handler: PlanRun for plan_run."""
    return "".join(word.capitalize() for word in handler_module.split("_"))


def _environment_variables(settings: StackSettings, models: Iterable[EnvironmentModel]) -> dict[str, str]:
    variables = {
        # The service tells a second stack's logs and metrics from the first's.
        "POWERTOOLS_SERVICE_NAME": settings.named(c.SERVICE_NAME),
        "POWERTOOLS_METRICS_NAMESPACE": c.METRICS_NAMESPACE,
    }
    for model in models:
        for name, value in model:
            variables[name.upper()] = ",".join(value) if isinstance(value, tuple) else str(value)
    return variables


def _attach(function: lambda_.Function, role: iam.Role, vpc: Vpc) -> None:
    """Place the function in given subnets. Through the resource itself: the construct's way would look the VPC up."""
    cast("lambda_.CfnFunction", function.node.default_child).vpc_config = lambda_.CfnFunction.VpcConfigProperty(
        subnet_ids=list(vpc.subnet_ids), security_group_ids=list(vpc.security_group_ids)
    )
    role.add_to_policy(
        iam.PolicyStatement(
            # Lambda asks for these on every resource (Lambda guide, "Required IAM permissions" of VPC access).
            actions=[
                "ec2:AssignPrivateIpAddresses",
                "ec2:CreateNetworkInterface",
                "ec2:DeleteNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:UnassignPrivateIpAddresses",
            ],
            resources=["*"],
        )
    )
