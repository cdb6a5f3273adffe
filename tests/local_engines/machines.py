"""Toy state machines, and running them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from local.aws import LocalAws
from local.lambda_function import ACCOUNT_ID, REGION

ROLE_ARN = f"arn:aws:iam::{ACCOUNT_ID}:role/local"
BACKOFF_SCALE = 0.05
_POLL_SECONDS = 0.02


@dataclass
class Machines:
    """Makes and runs state machines on a local AWS."""

    aws: LocalAws

    @property
    def client(self) -> Any:
        return self.aws.client("stepfunctions")

    def create(self, definition: dict[str, Any]) -> str:
        """Create a machine with a name of its own; gives its ARN."""
        name = f"machine-{time.monotonic_ns()}"
        created = self.client.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE_ARN)
        return str(created["stateMachineArn"])

    def start(self, definition: dict[str, Any] | str, event: object = None) -> str:
        """Start an execution of a definition or ARN; gives its ARN."""
        arn = definition if isinstance(definition, str) else self.create(definition)
        started = self.client.start_execution(stateMachineArn=arn, input=json.dumps(event if event is not None else {}))
        return str(started["executionArn"])

    def wait(self, execution_arn: str, seconds: float = 30) -> dict[str, Any]:
        """Wait for an execution's end; gives its description."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            description: dict[str, Any] = self.client.describe_execution(executionArn=execution_arn)
            if description["status"] != "RUNNING":
                return description
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"{execution_arn} still runs after {seconds} s")

    def run(self, definition: dict[str, Any] | str, event: object = None) -> Any:
        """Run to success; gives the output."""
        description = self.wait(self.start(definition, event))
        assert description["status"] == "SUCCEEDED", description
        return json.loads(description["output"])

    def fail(self, definition: dict[str, Any] | str, event: object = None) -> dict[str, Any]:
        """Run to another end than success; gives the description."""
        description = self.wait(self.start(definition, event))
        assert description["status"] != "SUCCEEDED", description
        return description

    def history(self, execution_arn: str) -> list[dict[str, Any]]:
        """All events of an execution."""
        pages = self.client.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
        return [event for page in pages for event in page["events"]]


def machine(**states: dict[str, Any]) -> dict[str, Any]:
    """A machine that starts with the first of its states."""
    return {"StartAt": next(iter(states)), "States": states}


def invoke(function: str, payload: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A state that invokes a function, with its whole input if no payload is given, and ends."""
    arguments: dict[str, Any] = {"FunctionName": f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{function}"}
    if payload is None:
        arguments["Payload.$"] = "$"
    else:
        arguments["Payload"] = payload
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": arguments,
        "OutputPath": "$.Payload",
        **_ending(fields),
    }


def run_child(machine_arn: str, name: str = "$$.Execution.Name", **fields: Any) -> dict[str, Any]:
    """A state that runs another machine on its input, waits for it, and ends."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": machine_arn, "Name.$": name, "Input.$": "$"},
        **_ending(fields),
    }


def for_each(state: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A Map over `$.items` whose iterations have one state."""
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, **machine(Each=state)}
    return {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": processor, **_ending(fields)}


def _ending(fields: dict[str, Any]) -> dict[str, Any]:
    return fields if "Next" in fields else {**fields, "End": True}


PASS: dict[str, Any] = {"Type": "Pass", "End": True}
CAUGHT: dict[str, Any] = {"Type": "Pass", "End": True}


def catch(*errors: str) -> list[dict[str, Any]]:
    """Catchers, one for each error, that go on to the state `Caught`."""
    return [{"ErrorEquals": [error], "Next": "Caught"} for error in errors]
