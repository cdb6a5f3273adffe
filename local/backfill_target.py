"""The stack that a backfill works on: this machine's, or one that CloudFormation made."""

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from adapters.clickhouse import ClickHouseConnection, connect
from adapters.clickhouse_batch_runs import ClickHouseBatchRuns, RecordedRun
from embedding.requeue import RequeueResult
from local.backfill import InvocationFailed, TeamExecution
from local.errors import LocalStackError
from local.executions import error_message
from local.stack_info import StackInfo
from trace_summarization import constants as c
from trace_summarization.models import BatchSummarizationMetrics, Mode, Window
from trace_summarization.planning import parse_allowlist

_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.1, 5.0
_FAILED_POLLS = 60  # in a row, about four minutes, besides the client's own attempts
_PASSING = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded")
# The function answers when it is done, and must not be invoked a second time meanwhile.
_INVOKE_TIMEOUT_SECONDS = c.REQUEUE_LAMBDA_TIMEOUT_SECONDS + 15


class StackNotUsable(LocalStackError):
    """The named stack does not exist, or is not one of this application (of this version)."""


class ExecutionNotStopped(LocalStackError):
    """Following an execution has ended before the execution, which could not be stopped either."""


@dataclass(frozen=True)
class StackTarget:
    """`Target` on a stack's state machine, function, parameters and tables. `aws` makes a boto3 client."""

    aws: Callable[[str], Any]
    team_machine_arn: str
    allowlist_parameter: str
    coordination_table: str
    requeue_function: str
    batch_runs: ClickHouseBatchRuns
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of_local_stack(cls, info: StackInfo) -> Self:
        """The stack that runs on this machine."""
        dsn = f"http://{info.clickhouse_host}:{info.clickhouse_port}"
        return cls(
            aws=lambda service: info.aws(service, read_timeout_seconds=_INVOKE_TIMEOUT_SECONDS),
            team_machine_arn=info.team_machine_arn,
            allowlist_parameter=info.allowlist_parameter,
            coordination_table=info.coordination_table,
            requeue_function=info.requeue_function,
            batch_runs=ClickHouseBatchRuns(ClickHouseConnection(lambda: connect(dsn)), info.clickhouse_database),
        )

    @classmethod
    def of_deployed_stack(
        cls, stack_name: str, dsn: str, database: str, aws: Callable[[str], Any] | None = None
    ) -> Self:
        """A stack in AWS, by its outputs. Raises StackNotUsable."""
        aws = aws or _aws_of_the_environment
        outputs = stack_outputs(aws("cloudformation"), stack_name)

        def output(name: str) -> str:
            try:
                return outputs[name]
            except KeyError as error:
                raise StackNotUsable(f"stack {stack_name} has no output {name}: deploy this version of it") from error

        return cls(
            aws=aws,
            team_machine_arn=output("TeamStateMachineArn"),
            allowlist_parameter=output("TeamAllowlistParameter"),
            coordination_table=output("CoordinationTableName"),
            requeue_function=output("RequeueEmbeddingsFunctionName"),
            batch_runs=ClickHouseBatchRuns(ClickHouseConnection(lambda: connect(dsn)), database),
        )

    def allowed_teams(self) -> list[int]:
        """The team allowlist. Raises InvalidAllowlist."""
        answer = self.aws("ssm").get_parameter(Name=self.allowlist_parameter)
        return parse_allowlist(str(answer["Parameter"]["Value"]))

    def recorded(self, team_id: int, mode: Mode, span: Window) -> Sequence[RecordedRun]:
        """The team's recorded runs whose windows reach into the span."""
        return self.batch_runs.recorded(team_id, mode, span)

    def run_team(self, inputs: Mapping[str, Any]) -> TeamExecution:
        """Run the team machine to its end. When interrupted, or unable to follow it, the execution is stopped.

        So whoever runs the window again does not run it beside this execution. Raises ExecutionNotStopped when that is
        not certain.
        """
        client = self.aws("stepfunctions")
        name = f"backfill-{inputs['team_id']}-{uuid.uuid4()}"
        arn = client.start_execution(stateMachineArn=self.team_machine_arn, name=name, input=json.dumps(inputs))[
            "executionArn"
        ]
        try:
            told = self._ended(client, arn)
        except BaseException as error:
            _stop(client, arn, error)
            raise
        if told["status"] == "SUCCEEDED":
            result = json.loads(told["output"])
            return TeamExecution(arn, BatchSummarizationMetrics.model_validate(result["metrics"]))
        return TeamExecution(
            arn,
            error=told.get("error") or told["status"],
            cause=error_message(told.get("cause")),
            ledger_nano_usd=self._spent(inputs["team_id"], arn),
        )

    def requeue(self, inputs: Mapping[str, Any]) -> RequeueResult:
        """Invoke the function that queues missing embeddings, once. Raises InvocationFailed."""
        answer = self.aws("lambda").invoke(FunctionName=self.requeue_function, Payload=json.dumps(inputs).encode())
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise InvocationFailed(payload.get("errorType", "Unknown"), payload.get("errorMessage", ""))
        return RequeueResult.model_validate(payload)

    def _ended(self, client: Any, arn: str) -> Mapping[str, Any]:
        wait = _FIRST_POLL_SECONDS
        failed = 0
        while True:
            try:
                told: Mapping[str, Any] = client.describe_execution(executionArn=arn)
            except (BotoCoreError, ClientError) as error:
                failed += 1
                if failed == _FAILED_POLLS or not _passes(error):
                    raise
            else:
                failed = 0
                if told["status"] != "RUNNING":
                    return told
            self.sleep(wait)
            wait = min(wait * 1.2, _LONGEST_POLL_SECONDS)

    def _spent(self, team_id: int, arn: str) -> int | None:
        """What a failed run's ledger holds in nano-USD; None when it cannot be read."""
        try:
            answer = self.aws("dynamodb").get_item(
                TableName=self.coordination_table, Key={"id": {"S": f"spending#{team_id}#{arn}"}}, ConsistentRead=True
            )
        except (BotoCoreError, ClientError):
            return None  # whoever asks counts all that the run was allowed
        committed = answer.get("Item", {}).get("committed")
        return int(committed["N"]) if committed else 0


def _passes(error: BotoCoreError | ClientError) -> bool:
    """Whether asking again can help: throttled, a fault of the service, or one on the way to it."""
    if not isinstance(error, ClientError):
        return isinstance(error, (ConnectionError, HTTPClientError))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error.response["Error"]["Code"] in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _stop(client: Any, arn: str, why: BaseException) -> None:
    """Stop an execution that nobody follows any more. Raises ExecutionNotStopped."""
    try:
        client.stop_execution(
            executionArn=arn, error="Interrupted", cause=f"the backfill was ended by {type(why).__name__}"
        )
    except (BotoCoreError, ClientError) as error:
        told = f"execution {arn} may still run; stop it before the backfill goes on ({type(error).__name__})"
        raise ExecutionNotStopped(told) from why


def stack_outputs(cloudformation: Any, stack_name: str) -> dict[str, str]:
    """The outputs of a CloudFormation stack by name. Raises StackNotUsable when there is no such stack."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise StackNotUsable(f"no stack {stack_name} in this account and region") from error
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _aws_of_the_environment(service: str) -> Any:
    retries = {"total_max_attempts": 1} if service == "lambda" else {"total_max_attempts": 5, "mode": "standard"}
    return boto3.client(service, config=Config(read_timeout=_INVOKE_TIMEOUT_SECONDS, retries=retries))
