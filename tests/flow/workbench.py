"""What the flow tests hold in their hands: a running stack, and ways to fill, run, disturb and read it."""

import base64
import itertools
import json
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client
from kafka import KafkaConsumer, TopicPartition

from local.executions import Execution, describe, start
from local.stack import Stack
from local.stack_info import DataDirectory, StackInfo
from tests.flow.http_proxy import HttpProxy
from trace_summarization.timestamps import format_rfc3339

START = datetime(2025, 1, 15, 14, tzinfo=UTC)
END = START + timedelta(hours=1)
WINDOW = {"window_start": format_rfc3339(START), "window_end": format_rfc3339(END)}
_TEAM_IDS = itertools.count(1_001)


@dataclass
class Workbench:
    """A stack with a proxy before ClickHouse. Each test takes teams of its own."""

    stack: Stack
    info: StackInfo
    proxy: HttpProxy
    client: Client
    _message_offset: int = field(default=0)

    def new_team(self) -> int:
        """A team id that no other test uses."""
        return next(_TEAM_IDS)

    # --- fill ------------------------------------------------------------------------------------------------------

    def add_traces(
        self, team_id: int, count: int, start: datetime = START, text: str = "Where is my order?"
    ) -> list[str]:
        """Traces of one generation each, a second apart. Returns their ids."""
        trace_ids = [f"trace-{team_id}-{uuid.uuid4()}" for _ in range(count)]
        rows = []
        for number, trace_id in enumerate(trace_ids):
            moment = start + timedelta(seconds=number * 3_000 / max(count, 3_000))
            rows.append(event_row(team_id, trace_id, moment, text=f"{text} Number {number}."))
        self.insert(rows)
        return trace_ids

    def insert(self, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows of `event_row`."""
        self.client.insert(
            self.info.clickhouse_events_table,
            rows,
            column_names=["uuid", "event", "properties", "timestamp", "team_id", "distinct_id", "created_at"],
        )

    # --- run -------------------------------------------------------------------------------------------------------

    def start_team(self, team_id: Any, **inputs: Any) -> str:
        """Start the team machine over the tests' window."""
        return start(self.info, self.info.team_machine_arn, {"team_id": team_id, **WINDOW, **inputs})

    def run_team(self, team_id: Any, **inputs: Any) -> Execution:
        """Run the team machine over the tests' window."""
        return self.wait(self.start_team(team_id, **inputs))

    def metrics_of(self, team_id: int, **inputs: Any) -> dict[str, Any]:
        """Metrics of a team's run that has to succeed."""
        execution = self.run_team(team_id, **inputs)
        assert execution.output is not None, execution
        metrics: dict[str, Any] = execution.output["metrics"]
        return metrics

    def run_coordinator(self, team_ids: Sequence[int] | str, **inputs: Any) -> Execution:
        """Run the coordinator over the tests' window with this allowlist (a text is taken as it is)."""
        allowlist = team_ids if isinstance(team_ids, str) else json.dumps(list(team_ids))
        self.info.aws("ssm").put_parameter(
            Name=self.info.allowlist_parameter, Type="String", Value=allowlist, Overwrite=True
        )
        return self.wait(start(self.info, self.info.coordinator_arn, {**WINDOW, **inputs}))

    def wait(self, arn: str, seconds: float = 240) -> Execution:
        """The execution once it has ended."""
        deadline = time.monotonic() + seconds
        while (execution := describe(self.info, arn)).status == "RUNNING":
            assert time.monotonic() < deadline, f"{arn} still runs after {seconds} s"
            time.sleep(0.05)
        return execution

    def embed(self, team_id: int) -> None:
        """Have the team's queued embedding requests embedded now, as the event source would."""
        records = [
            {"topic": self.info.kafka_topic, "partition": 0, "offset": offset, "value": _base64(json.dumps(message))}
            for offset, message in enumerate(self.messages(team_id))
        ]
        event = {"eventSource": "SelfManagedKafka", "records": {f"{self.info.kafka_topic}-0": records}}
        self.invoke(self.info.embed_function, event)

    def invoke(self, function_name: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """What a function answers that has to succeed."""
        answer = self.info.aws("lambda").invoke(FunctionName=function_name, Payload=json.dumps(event))
        document: dict[str, Any] = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, document
        return document

    @contextmanager
    def known_to_commands(self) -> Iterator[list[str]]:
        """The options with which a command uses this stack."""
        directory = DataDirectory(self.info.data_dir).acquire()
        directory.publish(self.info)
        try:
            yield ["--data-dir", str(self.info.data_dir)]
        finally:
            directory.release()

    def history(self, arn: str) -> list[dict[str, Any]]:
        """All events of an execution's history."""
        pages = self.info.aws("stepfunctions").get_paginator("get_execution_history")
        return [event for page in pages.paginate(executionArn=arn, maxResults=1_000) for event in page["events"]]

    def children_of(self, team_id: int) -> list[str]:
        """Names of the team's executions that a coordinator started, in order of their attempt."""
        executions = self.info.aws("stepfunctions").list_executions(stateMachineArn=self.info.team_machine_arn)
        return sorted(e["name"] for e in executions["executions"] if e["name"].startswith(f"team-{team_id}-"))

    # --- disturb ---------------------------------------------------------------------------------------------------

    @contextmanager
    def model_faults(self, *faults: Mapping[str, Any]) -> Iterator[None]:
        """Have the model server misbehave for a while."""
        self._model("POST", "/_faults", list(faults))
        try:
            yield
        finally:
            self._model("DELETE", "/_faults")

    @contextmanager
    def changed_function(
        self, name: str, environment: Mapping[str, str] | None = None, timeout_seconds: float | None = None
    ) -> Iterator[None]:
        """Have a function configured differently for a while; its name is without the service's."""
        runtime = self.stack.runtime
        assert runtime is not None
        former = next(f for f in runtime.functions if f.name == f"trace-summarization-{name}")
        runtime.update(
            replace(
                former,
                environment={**former.environment, **(environment or {})},
                timeout_seconds=timeout_seconds or former.timeout_seconds,
            )
        )
        try:
            yield
        finally:
            runtime.update(former)

    @contextmanager
    def deployed_as(self, stack_name: str) -> Iterator[None]:
        """Have a CloudFormation stack whose outputs name the local resources, as a deployed one's name its own."""
        outputs = {
            "TeamStateMachineArn": self.info.team_machine_arn,
            "TeamAllowlistParameter": self.info.allowlist_parameter,
            "CoordinationTableName": self.info.coordination_table,
            "RequeueEmbeddingsFunctionName": self.info.requeue_function,
        }
        self.create_stack(stack_name, outputs)
        yield
        self.info.aws("cloudformation").delete_stack(StackName=stack_name)

    def create_stack(self, stack_name: str, outputs: Mapping[str, str]) -> None:
        """Create a CloudFormation stack with nothing in it but these outputs; it must have some resource."""
        parameter = {"Name": f"/{stack_name}/any", "Type": "String", "Value": "-"}
        template = {
            "Resources": {"Any": {"Type": "AWS::SSM::Parameter", "Properties": parameter}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        self.info.aws("cloudformation").create_stack(StackName=stack_name, TemplateBody=json.dumps(template))

    # --- read ------------------------------------------------------------------------------------------------------

    def model_calls(self) -> int:
        """How many chat requests the model server has answered so far."""
        return len(self._chat_entries())

    @contextmanager
    def model_requests(self) -> Iterator[list[dict[str, Any]]]:
        """Afterwards the list holds the model server's own entries of the chat requests that came meanwhile."""
        before = self.model_calls()
        entries: list[dict[str, Any]] = []
        yield entries
        entries += self._chat_entries()[before:]

    def _chat_entries(self) -> list[dict[str, Any]]:
        return [entry for entry in self._model("GET", "/_requests")["entries"] if entry["kind"] == "chat"]

    @contextmanager
    def team_settings(self, settings: Any) -> Iterator[None]:
        """Have team settings for a while; a text is taken as it is."""
        self._put_team_settings(settings if isinstance(settings, str) else json.dumps(settings))
        try:
            yield
        finally:
            self._put_team_settings("{}")

    def _put_team_settings(self, text: str) -> None:
        self.info.aws("ssm").put_parameter(
            Name=self.info.team_settings_parameter, Type="String", Value=text, Overwrite=True
        )

    def ledger(self, team_id: int, execution: str) -> dict[str, Any]:
        """The ledger's item of a team's run that this execution is or started; empty when there is none."""
        pages = self.info.aws("dynamodb").get_paginator("scan").paginate(TableName=self.info.coordination_table)
        found = [item for page in pages for item in page["Items"] if execution in item["id"]["S"].split("#")]
        of_team = [item for item in found if item["id"]["S"].startswith(f"spending#{team_id}#")]
        assert len(of_team) <= 1
        return dict(of_team[0]) if of_team else {}

    def summaries(self, team_id: int) -> dict[str, dict[str, Any]]:
        """The team's rows of the view, by trace id."""
        result = self.client.query(
            "SELECT * FROM trace_summarization.trace_summaries WHERE team_id = {team_id:Int64}",
            parameters={"team_id": team_id},
        )
        rows = [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]
        assert len({row["trace_id"] for row in rows}) == len(rows)
        return {row["trace_id"]: row for row in rows}

    def stored_summary_rows(self, team_id: int) -> list[tuple[Any, ...]]:
        """Every stored row of the team's summary events, superseded ones included."""
        rows: list[tuple[Any, ...]] = self.client.query(
            "SELECT uuid, timestamp, created_at, properties FROM events"
            " WHERE team_id = {team_id:Int64} AND event = '$ai_trace_summary' ORDER BY ALL",
            parameters={"team_id": team_id},
        ).result_rows  # type: ignore[assignment] # Sequence[Sequence] of tuples
        return rows

    def batch_runs(self, team_id: int) -> list[dict[str, Any]]:
        """The team's rows of `batch_runs`."""
        result = self.client.query(
            "SELECT * FROM trace_summarization.batch_runs FINAL WHERE team_id = {team_id:Int64}",
            parameters={"team_id": team_id},
        )
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def messages(self, team_id: int) -> list[dict[str, Any]]:
        """All embedding requests of the team on the topic."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.info.kafka_bootstrap_servers, auto_offset_reset="earliest", group_id=None
        )
        partition = TopicPartition(self.info.kafka_topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        found: list[dict[str, Any]] = []
        while batch := consumer.poll(timeout_ms=700):
            found += [_message_in(record.value) for records in batch.values() for record in records]
        consumer.close()
        return [message for message in found if message.get("team_id") == team_id]

    def _model(self, method: str, path: str, body: Any = None) -> Any:
        url = self.info.model_base_url.removesuffix("/v1") + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def _message_in(value: bytes | None) -> dict[str, Any]:
    """The message of a record; an empty one for what other tests have put there to be refused."""
    try:
        document = json.loads(value or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def event_row(
    team_id: int,
    trace_id: str,
    moment: datetime,
    text: str = "Where is my order?",
    event: str = "$ai_generation",
    event_id: str | None = None,
    **properties: Any,
) -> list[Any]:
    """A row of `events`: one generation with a question and its answer."""
    content = {
        "$ai_trace_id": trace_id,
        "$ai_span_id": str(uuid.uuid4()),
        "$ai_parent_id": trace_id,
        "$ai_model": "gpt-4o",
        "$ai_input": [{"role": "user", "content": text}],
        "$ai_output_choices": [{"role": "assistant", "content": "It ships tomorrow, order 4711."}],
        **properties,
    }
    return [event_id or str(uuid.uuid4()), event, json.dumps(content), moment, team_id, "user-1", moment]
