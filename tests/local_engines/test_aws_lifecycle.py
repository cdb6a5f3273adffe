"""Starting, stopping and starting again."""

from __future__ import annotations

import socket
import time

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from local.aws import LocalAws
from local.lambda_runtime import LambdaRuntime
from local.ports import PortInUseError
from tests.local_engines.machines import PASS, Machines, machine


def test_it_restarts_empty_on_its_port() -> None:
    aws = LocalAws()
    aws.start()
    url = aws.endpoint_url
    client = aws.client("ssm")
    client.put_parameter(Name="a", Type="String", Value="1")
    Machines(aws).create(machine(Pass=PASS))
    aws.stop()
    aws.stop()
    with pytest.raises(EndpointConnectionError):  # also on a connection that was open
        client.get_parameter(Name="a")
    aws.start()
    try:
        assert aws.endpoint_url == url
        with pytest.raises(ClientError, match="ParameterNotFound"):
            aws.client("ssm").get_parameter(Name="a")
        assert aws.client("stepfunctions").list_state_machines()["stateMachines"] == []
    finally:
        aws.stop()


def test_stop_aborts_what_runs(toy_runtime: LambdaRuntime) -> None:
    with LocalAws() as aws:
        aws.register_functions(toy_runtime)
        machines = Machines(aws)
        execution = machines.start(machine(Wait={"Type": "Wait", "Seconds": 60, "End": True}))
        time.sleep(0.1)
        running = aws.client("stepfunctions").describe_execution(executionArn=execution)["status"]
        started = time.monotonic()
    assert running == "RUNNING"
    assert time.monotonic() - started < 3


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} on 127\.0\.0\.1 is in use: stop what listens there"):
            LocalAws(port).start()
    with LocalAws(port) as aws:
        assert aws.endpoint_url == f"http://127.0.0.1:{port}"


def test_a_process_has_one() -> None:
    with (
        LocalAws() as aws,
        pytest.raises(RuntimeError, match=f"this process runs a local AWS already, on {aws.endpoint_url}"),
    ):
        LocalAws().start()


def test_the_address_is_unknown_before_the_first_start() -> None:
    with pytest.raises(RuntimeError, match="start it first"):
        _ = LocalAws().endpoint_url


def test_a_negative_backoff_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="backoff_scale: expected 0 or more, got -1"):
        LocalAws(backoff_scale=-1)
