"""Starting, stopping, describing and listing executions, and reading their histories, as in AWS."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.local_engines.machines import PASS, Machines, for_each, invoke, machine, run_child


def test_unnamed_executions_have_names(machines: Machines) -> None:
    arn = machines.create(machine(Pass=PASS))
    executions = [machines.start(arn) for _ in range(3)]
    assert len(set(executions)) == 3
    for execution in executions:
        machines.wait(execution)
    listed = machines.client.list_executions(stateMachineArn=arn)["executions"]
    assert {item["executionArn"] for item in listed} == set(executions)
    assert all(item["name"] == item["executionArn"].rsplit(":", 1)[1] for item in listed)
    assert all("stopDate" in item for item in listed)


@pytest.mark.parametrize("name", ["x" * 81, "a b", "2025-01-15T12:00:00Z", "a/b", "a*", "é\u0007"])
def test_a_name_that_aws_refuses_is_refused(machines: Machines, name: str) -> None:
    arn = machines.create(machine(Pass=PASS))
    with pytest.raises(ClientError, match="InvalidName"):
        machines.client.start_execution(stateMachineArn=arn, name=name)
    assert machines.client.list_executions(stateMachineArn=arn)["executions"] == []


def test_a_name_is_used_once(machines: Machines) -> None:
    arn = machines.create(machine(Wait={"Type": "Wait", "Seconds": 1, "End": True}))
    arguments = {"stateMachineArn": arn, "name": "x" * 80, "input": "{}"}
    with ThreadPoolExecutor(8) as threads:
        started = list(threads.map(lambda _: machines.client.start_execution(**arguments)["executionArn"], range(8)))
    assert len(set(started)) == 1  # the same name and input, while it runs: the same execution
    assert len(machines.client.list_executions(stateMachineArn=arn)["executions"]) == 1
    machines.wait(started[0])
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        machines.client.start_execution(**arguments)


def test_an_input_above_256_kib_is_refused(machines: Machines) -> None:
    arn = machines.create(machine(Pass={**PASS, "Result": 1}))
    largest = json.dumps("x" * (262_144 - 2))
    arguments = {"stateMachineArn": arn, "name": "largest"}
    assert machines.client.start_execution(**arguments, input=largest)
    with pytest.raises(ClientError, match="less than or equal to 262144"):
        machines.client.start_execution(stateMachineArn=arn, name="larger", input=largest + " ")


def test_a_stopped_execution_is_aborted_at_once_for_good(machines: Machines) -> None:
    execution = machines.start(machine(Map=for_each(invoke("sleep", {"seconds": 1}))), {"items": [1, 2]})
    while len(machines.history(execution)) < 7:
        time.sleep(0.02)
    machines.client.stop_execution(executionArn=execution, error="Why", cause="because")
    description = machines.client.describe_execution(executionArn=execution)
    assert description["status"] == "ABORTED"
    assert "stopDate" in description
    assert "output" not in description
    events = machines.history(execution)
    assert events[-1]["type"] == "ExecutionAborted"
    time.sleep(1.2)  # the functions have answered
    assert machines.client.describe_execution(executionArn=execution)["status"] == "ABORTED"
    assert machines.history(execution) == events


def test_a_stopped_execution_stops_its_children(machines: Machines) -> None:
    child = machines.create(machine(Sleep=invoke("sleep", {"seconds": 5})))
    execution = machines.start(machine(Child=run_child(child)))
    while not machines.client.list_executions(stateMachineArn=child)["executions"]:
        time.sleep(0.02)
    machines.client.stop_execution(executionArn=execution)
    [child_execution] = machines.client.list_executions(stateMachineArn=child)["executions"]
    assert machines.wait(child_execution["executionArn"], 3)["status"] == "ABORTED"


def test_an_execution_can_be_stopped_as_soon_as_it_has_started(machines: Machines) -> None:
    arn = machines.create(machine(Wait={"Type": "Wait", "Seconds": 30, "End": True}))
    for _ in range(5):
        execution = machines.start(arn)
        machines.client.stop_execution(executionArn=execution)
        assert machines.client.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_stopping_what_has_ended_changes_nothing(machines: Machines) -> None:
    execution = machines.start(machine(Pass=PASS))
    machines.wait(execution)
    machines.client.stop_execution(executionArn=execution)
    assert machines.client.describe_execution(executionArn=execution)["status"] == "SUCCEEDED"


def test_an_execution_that_times_out_has_ended(machines: Machines) -> None:
    execution = machines.start({**machine(Sleep=invoke("sleep", {"seconds": 3})), "TimeoutSeconds": 1})
    description = machines.wait(execution)
    assert description["status"] == "TIMED_OUT"
    assert description["stopDate"].timestamp() - description["startDate"].timestamp() < 2.5
    assert "error" not in description
    assert machines.history(execution)[-1]["type"] == "ExecutionTimedOut"
    [listed] = machines.client.list_executions(stateMachineArn=description["stateMachineArn"])["executions"]
    assert listed["stopDate"] == description["stopDate"]


def test_an_execution_that_times_out_stops_its_children(machines: Machines) -> None:
    child = machines.create(machine(Wait={"Type": "Wait", "Seconds": 30, "End": True}))
    machines.fail({**machine(Child=run_child(child)), "TimeoutSeconds": 1})
    [child_execution] = machines.client.list_executions(stateMachineArn=child)["executions"]
    assert machines.wait(child_execution["executionArn"], 3)["status"] == "ABORTED"


@pytest.mark.parametrize("output", ["text", None, 1, [], {"a": ["é", None]}])
def test_an_output_is_json(machines: Machines, output: object) -> None:
    assert machines.run(machine(Give={**PASS, "Result": output})) == output


def test_a_history_is_read_in_pages(machines: Machines) -> None:
    execution = machines.start(machine(Map=for_each(PASS)), {"items": list(range(60))})
    machines.wait(execution)
    events = machines.history(execution)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert len(events) == 60 * 4 + 6  # started, entered, map started, (4 per item), map succeeded, exited, succeeded
    first = machines.client.get_execution_history(executionArn=execution)
    assert (len(first["events"]), first["nextToken"]) == (100, "100")
    pages = machines.client.get_paginator("get_execution_history").paginate(
        executionArn=execution, reverseOrder=True, PaginationConfig={"PageSize": 7}
    )
    backwards = [event["id"] for page in pages for event in page["events"]]
    assert backwards == list(range(len(events), 0, -1))
    everything = machines.client.get_execution_history(executionArn=execution, maxResults=1000)
    assert everything["events"] == events
    assert "nextToken" not in everything


def test_executions_are_listed_in_pages(machines: Machines) -> None:
    arn = machines.create(machine(Pass=PASS))
    started = {machines.start(arn) for _ in range(12)}
    pages = machines.client.get_paginator("list_executions").paginate(
        stateMachineArn=arn, PaginationConfig={"PageSize": 5}
    )
    listed = [item["executionArn"] for page in pages for item in page["executions"]]
    assert len(listed) == 12
    assert set(listed) == started
