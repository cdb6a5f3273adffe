"""Following an execution of a backfill: what it endures, and that it leaves none running behind its back."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from adapters.clickhouse_batch_runs import ClickHouseBatchRuns
from local.backfill_target import ExecutionNotStopped, StackTarget

ARN = "arn:aws:states:us-east-1:123456789012:execution:team:backfill"
INPUTS = {"team_id": 1}
FAILED = {"status": "FAILED", "error": "InvalidInput", "cause": "no"}


def refused(code: str, status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "-"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(cast("Any", answer), "DescribeExecution")


@dataclass
class Service:
    """Step Functions and a ledger without items. Tells of the execution in turn what is given; the last without end."""

    told: list[Any]
    stop_fails: bool = False
    stopped: list[dict[str, Any]] = field(default_factory=list)
    described: int = 0
    waits: list[float] = field(default_factory=list)

    def start_execution(self, **_: Any) -> dict[str, str]:
        return {"executionArn": ARN}

    def describe_execution(self, executionArn: str) -> Any:  # noqa: N803 - the service's own name
        assert executionArn == ARN
        told = self.told[min(self.described, len(self.told) - 1)]
        self.described += 1
        if isinstance(told, BaseException):
            raise told
        return told

    def stop_execution(self, **asked: Any) -> None:
        self.stopped.append(asked)
        if self.stop_fails:
            raise EndpointConnectionError(endpoint_url="http://states")

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {}

    def target(self) -> StackTarget:
        return StackTarget(
            lambda _: self, "team-machine", "", "", "", cast("ClickHouseBatchRuns", None), self.waits.append
        )


@pytest.mark.parametrize(
    "fault",
    [
        refused("ThrottlingException"),
        refused("TooManyRequestsException", 429),
        refused("InternalServerError", 500),
        ConnectionClosedError(endpoint_url="http://states"),
        EndpointConnectionError(endpoint_url="http://states"),
        ReadTimeoutError(endpoint_url="http://states"),
    ],
    ids=str,
)
def test_faults_that_pass_delay_an_execution_and_do_not_end_it(fault: Exception) -> None:
    service = Service([{"status": "RUNNING"}, fault, fault, {"status": "RUNNING"}, fault, FAILED])
    assert service.target().run_team(INPUTS).error == "InvalidInput"
    assert service.stopped == []
    assert len(service.waits) == 5


def test_faults_that_do_not_pass_end_it_after_minutes_and_stop_the_execution() -> None:
    service = Service([refused("ThrottlingException")])
    with pytest.raises(ClientError, match="ThrottlingException"):
        service.target().run_team(INPUTS)
    assert [asked["executionArn"] for asked in service.stopped] == [ARN]
    assert 60 < sum(service.waits) < 600


@pytest.mark.parametrize(
    "fault",
    [KeyboardInterrupt(), refused("ExpiredTokenException"), refused("AccessDeniedException"), RuntimeError("any")],
    ids=repr,
)
def test_whatever_else_ends_the_following_stops_the_execution_and_is_raised(fault: BaseException) -> None:
    service = Service([{"status": "RUNNING"}, fault])
    with pytest.raises(type(fault)) as raised:
        service.target().run_team(INPUTS)
    assert raised.value is fault
    assert [asked["executionArn"] for asked in service.stopped] == [ARN]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), refused("ExpiredTokenException")], ids=repr)
def test_an_execution_that_cannot_be_stopped_is_told_by_its_arn(fault: BaseException) -> None:
    service = Service([fault], stop_fails=True)
    with pytest.raises(ExecutionNotStopped, match=f"^execution {ARN} may still run; stop it before") as raised:
        service.target().run_team(INPUTS)
    assert raised.value.__cause__ is fault
