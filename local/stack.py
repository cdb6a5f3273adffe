"""The same stack on one machine: engines as local servers, functions and state machines from the template."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import clickhouse_connect

from adapters.schema import apply_schema
from infra.synthesis import cached_synthesis, host_context
from local.aws import LocalAws
from local.clickhouse_server import ClickHouseServer
from local.event_source import EventSourcePoller
from local.event_source_mapping import EventSourceMapping
from local.kafka_broker import KafkaBroker
from local.lambda_function import ACCOUNT_ID, REGION, FunctionSpec
from local.lambda_runtime import LambdaRuntime
from local.model_process import ModelProcess
from local.stack_info import ACCESS_KEY, OFFLINE_PROVIDER, PROJECT_ROOT, StackInfo
from local.stack_options import ModelEndpoint, StackOptions
from local.template import Arns, Resource, Template
from trace_summarization.constants import EMBEDDING_TOPIC, OFFLINE_EMBEDDING_MODEL
from trace_summarization.team_settings import NO_SETTINGS

# What the template needs to have an event source; the local broker's address is put in afterwards.
_PLACEHOLDER_BROKER = {"bootstrap_servers": "127.0.0.1:9092", "security_protocol": "PLAINTEXT"}
_PLACEHOLDER_NETWORK = {"subnet_ids": ["subnet-00000000"], "security_group_ids": ["sg-00000000"]}
_LAMBDA_PYTHON = PROJECT_ROOT / ".venv" / "lambda-runtime" / "bin" / "python"


class Stack:
    """Starts and stops everything. Attributes hold the engines, so that tests can disturb them one by one.

    `clickhouse` is a server that runs already: a process has only one engine. It is left running.
    """

    def __init__(
        self,
        options: StackOptions,
        say: Callable[[str], None] = lambda _: None,
        clickhouse: ClickHouseServer | None = None,
    ) -> None:
        self._options = options
        self._say = say
        self._running = ExitStack()
        data = options.data_dir / "clickhouse" if options.persistent else None
        self._owns_clickhouse = clickhouse is None
        self.clickhouse = clickhouse or ClickHouseServer(data, options.clickhouse_port)
        self.kafka = KafkaBroker(options.kafka_port, topics=[EMBEDDING_TOPIC])
        self.aws = LocalAws(options.aws_port, options.backoff_scale)
        self.model: ModelProcess | None = None
        self.runtime: LambdaRuntime | None = None
        self.poller: EventSourcePoller | None = None
        self._mapping: EventSourceMapping | None = None
        self._failure_bucket = ""

    def start(self) -> StackInfo:
        """Start everything; on any failure stop what was started and raise its error."""
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, last started first."""
        self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> StackInfo:
        options = self._options
        log_dir = options.data_dir / "logs"
        log_dir.mkdir(parents=True, exist_ok=True)
        self._say("Reading the state machines from the CDK app (synthesized when changed, about 30 s)")
        template = Template(cached_synthesis({**host_context(), **_local_context(options), **options.context}))
        if self._owns_clickhouse:
            self._enter("ClickHouse", self.clickhouse)
        self._enter("Kafka", self.kafka)
        endpoint = options.model or self._offline_model(log_dir)
        self._enter("AWS", self.aws)
        resources = _LocalResources(template, self.aws)
        resources.create_secrets(self._secret_values(endpoint))
        resources.create_tables()
        failure_bucket = resources.create_bucket()
        overrides = self._environment_overrides()
        functions = resources.functions(overrides, options.function_environment)
        self.runtime = LambdaRuntime(functions, _LAMBDA_PYTHON, log_dir, options.workers)
        self._running.callback(self.runtime.stop)
        self.aws.register_functions(self.runtime)
        coordinator_arn, team_machine_arn = resources.create_state_machines()
        environment = {name: value for function in functions for name, value in function.environment.items()}
        names = {function.handler.split(".")[1]: function.name for function in functions}
        self.aws.client("ssm").put_parameter(
            Name=environment["ALLOWED_TEAM_IDS_PARAMETER"], Type="String", Value=json.dumps(options.allowed_team_ids)
        )
        self.aws.client("ssm").put_parameter(
            Name=environment["TEAM_SETTINGS_PARAMETER"], Type="String", Value=NO_SETTINGS
        )
        info = StackInfo(
            pid=os.getpid(),
            data_dir=options.data_dir,
            log_dir=log_dir,
            aws_endpoint_url=self.aws.endpoint_url,
            coordinator_arn=coordinator_arn,
            team_machine_arn=team_machine_arn,
            allowlist_parameter=environment["ALLOWED_TEAM_IDS_PARAMETER"],
            team_settings_parameter=environment["TEAM_SETTINGS_PARAMETER"],
            coordination_table=environment["COORDINATION_TABLE"],
            clickhouse_host="127.0.0.1",
            clickhouse_port=self.clickhouse.port,
            clickhouse_database=environment["CLICKHOUSE_DATABASE"],
            clickhouse_events_table=environment["CLICKHOUSE_EVENTS_TABLE"],
            kafka_bootstrap_servers=self.kafka.bootstrap_servers,
            kafka_topic=environment["KAFKA_TOPIC"],
            failure_bucket=failure_bucket,
            embed_function=names["embed_documents"],
            search_function=names["search_summaries"],
            requeue_function=names["requeue_embeddings"],
            embedding_models=tuple(environment["EMBEDDING_MODELS"].split(",")),
            model_base_url=endpoint.base_url,
            model_provider=endpoint.provider or endpoint.base_url,
        )
        with clickhouse_connect.get_client(host=info.clickhouse_host, port=info.clickhouse_port) as client:
            apply_schema(client, info.clickhouse_database, info.clickhouse_events_table)
        self._mapping = resources.event_source_mapping()
        self._failure_bucket = failure_bucket
        if options.poller:
            self.poller = self.new_poller()
            self.poller.start()
            # The batch under way ends with the runtime, before the broker and the bucket go.
            self._running.callback(self.poller.join)
            self._running.callback(self.runtime.stop)
            self._running.callback(self.poller.stop)
        self._say("Schema applied; ready")
        return info

    def new_poller(self, **changes: Any) -> EventSourcePoller:
        """A poller of the stack's queue that is not started, with changes to what the template says.

        A provisioned one gives up into the failure bucket, as the template has it.

        It belongs to who asks for it, and goes on where the last one of the consumer group was. Raises RuntimeError
        before `start`.
        """
        if self.runtime is None or self._mapping is None:
            raise RuntimeError("the stack does not run: start it first")
        mapping = replace(self._mapping, **changes)
        if mapping.provisioned and mapping.destination_bucket is None:
            mapping = replace(mapping, destination_bucket=self._failure_bucket)
        s3 = self.aws.client("s3")
        return EventSourcePoller(mapping, self.kafka, self.runtime, s3, self._options.backoff_scale)

    def _enter(self, name: str, engine: ClickHouseServer | KafkaBroker | LocalAws) -> None:
        engine.start()
        self._running.callback(engine.stop)
        self._say(f"{name} is up")

    def _offline_model(self, log_dir: Path) -> ModelEndpoint:
        self.model = ModelProcess(
            self._options.model_port, log_dir / "model_requests.jsonl", self._options.model_latency_seconds
        )
        self.model.start()
        self._running.callback(self.model.stop)
        self._say("Model server is up (offline, extractive: no LLM)")
        return ModelEndpoint(self.model.base_url, "offline", OFFLINE_PROVIDER)

    def _secret_values(self, endpoint: ModelEndpoint) -> dict[str, dict[str, Any]]:
        """Secret values by the environment variable that names the secret."""
        model = {"api_key": endpoint.api_key, "base_url": endpoint.base_url}
        if endpoint.provider:
            model["provider"] = endpoint.provider
        return {
            "CLICKHOUSE_SECRET_ARN": {
                "host": "127.0.0.1",
                "port": self.clickhouse.port,
                "username": "default",
                "password": "",
                "secure": False,
            },
            "MODEL_SECRET_ARN": model,
            "EMBEDDING_SECRET_ARN": model,
        }

    def _environment_overrides(self) -> dict[str, str]:
        """What differs from AWS for every function: endpoints and credentials."""
        return {
            "AWS_ENDPOINT_URL": self.aws.endpoint_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "",
            "KAFKA_SECRET_ARN": "",
        }


def _local_context(options: StackOptions) -> dict[str, Any]:
    context: dict[str, Any] = {
        "kafka": {**_PLACEHOLDER_BROKER, "poller": options.poller_mode},
        "vpc": _PLACEHOLDER_NETWORK,
    }
    if options.model is None:
        context["embedding_models"] = [OFFLINE_EMBEDDING_MODEL]
    return context


class _LocalResources:
    """Creates the template's resources in the local AWS, so that references to them resolve."""

    def __init__(self, template: Template, aws: LocalAws) -> None:
        self._template = template
        self._aws = aws
        self._refs: dict[str, str] = {}
        self._arns: dict[str, str] = {}

    def create_secrets(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Create each secret that a function's environment refers to, with the local value for that variable."""
        client = self._aws.client("secretsmanager")
        variables = {
            json.dumps(value): name
            for function in self._template.functions()
            for name, value in function.properties["Environment"]["Variables"].items()
        }
        for secret in self._template.of_type("AWS::SecretsManager::Secret"):
            variable = variables.get(json.dumps({"Ref": secret.logical_id}), "")
            created = client.create_secret(
                Name=secret.properties.get("Name", secret.logical_id), SecretString=json.dumps(values.get(variable, {}))
            )
            self._refs[secret.logical_id] = self._arns[secret.logical_id] = created["ARN"]

    def create_tables(self) -> None:
        """Create the template's DynamoDB tables."""
        client = self._aws.client("dynamodb")
        for table in self._template.of_type("AWS::DynamoDB::Table"):
            given = ("TableName", "KeySchema", "AttributeDefinitions", "BillingMode")
            created = client.create_table(**{name: table.properties[name] for name in given})["TableDescription"]
            expiry = table.properties["TimeToLiveSpecification"]
            client.update_time_to_live(TableName=created["TableName"], TimeToLiveSpecification=expiry)
            self._refs[table.logical_id] = created["TableName"]
            self._arns[table.logical_id] = created["TableArn"]

    def create_bucket(self) -> str:
        """Create the template's S3 bucket. Returns its name."""
        (bucket,) = self._template.of_type("AWS::S3::Bucket")
        name = bucket.properties.get("BucketName", bucket.logical_id.lower())
        self._aws.client("s3").create_bucket(Bucket=name)
        self._refs[bucket.logical_id] = name
        self._arns[bucket.logical_id] = f"arn:aws:s3:::{name}"
        return str(name)

    def event_source_mapping(self) -> EventSourceMapping:
        """The template's event source; the functions have to be there already."""
        (mapping,) = self._template.of_type("AWS::Lambda::EventSourceMapping")
        return EventSourceMapping.of(mapping.logical_id, Arns(self._refs, self._arns).resolve(mapping.properties))

    def functions(
        self, overrides: Mapping[str, str], by_handler: Mapping[str, Mapping[str, str]]
    ) -> list[FunctionSpec]:
        """The template's functions as local ones."""
        return [self._function(resource, overrides, by_handler) for resource in self._template.functions()]

    def _function(
        self, resource: Resource, overrides: Mapping[str, str], by_handler: Mapping[str, Mapping[str, str]]
    ) -> FunctionSpec:
        properties = resource.properties
        handler = properties["Handler"]
        given = {name: value for name, value in properties["Environment"]["Variables"].items() if name not in overrides}
        resolved = Arns(self._refs, self._arns).resolve(given)
        function = FunctionSpec(
            name=properties["FunctionName"],
            handler=handler,
            task_root=self._template.asset_directory(resource),
            timeout_seconds=properties["Timeout"],
            memory_mb=properties["MemorySize"],
            environment={**resolved, **overrides, **by_handler.get(handler.split(".")[1], {})},
        )
        self._refs[resource.logical_id] = function.name
        self._arns[resource.logical_id] = function.arn
        return function

    def create_state_machines(self) -> tuple[str, str]:
        """Create both machines. Returns the ARNs of the coordinator and of the team machine."""
        machines = self._template.of_type("AWS::StepFunctions::StateMachine")
        # The coordinator refers to the team machine, which therefore comes first.
        team, coordinator = sorted(machines, key=lambda machine: "startExecution" in json.dumps(machine.properties))
        team_arn = self._create_state_machine(team)
        return self._create_state_machine(coordinator), team_arn

    def _create_state_machine(self, machine: Resource) -> str:
        created = self._aws.client("stepfunctions").create_state_machine(
            name=machine.properties["StateMachineName"],
            definition=Arns(self._refs, self._arns).resolve(machine.properties["DefinitionString"]),
            roleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/local",
        )
        arn = str(created["stateMachineArn"])
        self._refs[machine.logical_id] = self._arns[machine.logical_id] = arn
        return arn
