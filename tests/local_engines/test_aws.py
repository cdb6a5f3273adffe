"""AWS's clients work against the local endpoint as they do against AWS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAws
from local.lambda_function import FunctionSpec
from local.lambda_runtime import LambdaRuntime
from tests.local_engines.machines import PASS, Machines, for_each, invoke, machine
from tests.local_engines.processes import wait_until

AWS_CLI = shutil.which("aws")


@pytest.fixture(scope="module")
def aws(toy_runtime: LambdaRuntime) -> Iterator[LocalAws]:
    with LocalAws() as running:
        running.register_functions(toy_runtime)
        yield running


def error_code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


# Lambda


@pytest.mark.parametrize(
    "name",
    [
        "echo",
        "echo:$LATEST",
        "function:echo",
        "123456789012:function:echo",
        "arn:aws:lambda:us-east-1:123456789012:function:echo",
        "arn:aws:lambda:us-east-1:123456789012:function:echo:live",
    ],
)
def test_a_function_is_invoked_by_any_form_of_its_name(aws: LocalAws, name: str) -> None:
    response = aws.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"text": "é"}).encode())
    assert (response["StatusCode"], json.load(response["Payload"])) == (200, {"text": "é"})
    assert "FunctionError" not in response


def test_a_failed_function_is_a_response_with_its_error(aws: LocalAws) -> None:
    response = aws.client("lambda").invoke(FunctionName="fail", Payload=b'"x"')
    assert (response["StatusCode"], response["FunctionError"]) == (200, "Unhandled")
    assert json.load(response["Payload"])["errorType"] == "BadTrace"


def test_an_unknown_function_is_not_found(aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="Function not found: nope") as error:
        aws.client("lambda").invoke(FunctionName="nope")
    assert error_code(error) == ("ResourceNotFoundException", 404)


def test_a_payload_above_six_megabytes_is_refused(aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="payload is too large") as error:
        aws.client("lambda").invoke(FunctionName="echo", Payload=b'"' + b"x" * 6 * 1024 * 1024 + b'"')
    assert error_code(error) == ("RequestTooLargeException", 413)


def test_an_event_is_accepted_before_it_is_done(aws: LocalAws, tmp_path: Path) -> None:
    written = tmp_path / "written"
    payload = json.dumps({"path": str(written)}).encode()
    client = aws.client("lambda")
    response = client.invoke(FunctionName="write_file", InvocationType="Event", Payload=payload)
    assert (response["StatusCode"], response["Payload"].read()) == (202, b"")
    assert wait_until(written.exists)
    assert client.invoke(FunctionName="write_file", InvocationType="DryRun", Payload=payload)["StatusCode"] == 204


def test_functions_are_listed_with_their_configuration(aws: LocalAws) -> None:
    functions = {item["FunctionName"]: item for item in aws.client("lambda").list_functions()["Functions"]}
    assert functions["echo"]["Handler"] == "app.echo"
    assert functions["echo"]["Timeout"] == 10
    assert functions["echo"]["FunctionArn"] == "arn:aws:lambda:us-east-1:123456789012:function:echo"


def test_registered_functions_replace_earlier_ones(
    aws: LocalAws,
    toy_runtime: LambdaRuntime,
    toy_functions: Callable[..., FunctionSpec],
    lambda_python: Path,
    tmp_path: Path,
) -> None:
    with LambdaRuntime([toy_functions("other", "app.echo")], lambda_python, tmp_path) as runtime:
        aws.register_functions(runtime)
        assert [item["FunctionName"] for item in aws.client("lambda").list_functions()["Functions"]] == ["other"]
        assert aws.client("lambda").invoke(FunctionName="other", Payload=b"1")["Payload"].read() == b"1"
        with pytest.raises(ClientError):
            aws.client("lambda").invoke(FunctionName="echo")
    aws.register_functions(toy_runtime)


def test_a_worker_reaches_the_endpoint(
    aws: LocalAws, toy_runtime: LambdaRuntime, lambda_python: Path, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "import boto3\n"
        "def read(event, context):\n"
        "    return boto3.client('secretsmanager').get_secret_value(SecretId=event)['SecretString']\n"
    )
    environment = {"AWS_ENDPOINT_URL": aws.endpoint_url}
    arn = aws.client("secretsmanager").create_secret(Name="model", SecretString="s3cret")["ARN"]
    function = FunctionSpec("read", "app.read", tmp_path, 20, 128, environment)
    with LambdaRuntime([function], lambda_python, tmp_path / "logs") as runtime:
        aws.register_functions(runtime)
        assert Machines(aws).run(machine(Read=invoke("read")), arn) == "s3cret"
    aws.register_functions(toy_runtime)


def test_forty_clients_invoke_at_once(aws: LocalAws) -> None:
    client = aws.client("lambda")

    def echo(number: int) -> int:
        return int(client.invoke(FunctionName="echo", Payload=str(number).encode())["Payload"].read())

    with ThreadPoolExecutor(40) as threads:
        assert list(threads.map(echo, range(80))) == list(range(80))


# Other services


def test_parameters_secrets_objects_and_items_are_kept(aws: LocalAws) -> None:
    aws.client("ssm").put_parameter(Name="/teams", Type="String", Value="[1]")
    assert aws.client("ssm").get_parameter(Name="/teams")["Parameter"]["Value"] == "[1]"
    secret = aws.client("secretsmanager").create_secret(Name="s", SecretString="x")["ARN"]
    assert aws.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"] == "x"
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="a/b", Body=b"body")
    assert s3.get_object(Bucket="bucket", Key="a/b")["Body"].read() == b"body"
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="t", Item={"id": {"S": "1"}})
    assert dynamodb.get_item(TableName="t", Key={"id": {"S": "1"}})["Item"] == {"id": {"S": "1"}}


def test_updates_of_one_item_at_the_same_moment_all_count(aws: LocalAws) -> None:
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName="counters",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def count(_: int) -> None:
        dynamodb.update_item(
            TableName="counters",
            Key={"id": {"S": "1"}},
            UpdateExpression="ADD amount :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(count, range(400)))
    item = dynamodb.get_item(TableName="counters", Key={"id": {"S": "1"}})["Item"]
    assert item["amount"] == {"N": "400"}


# The command line


@pytest.mark.skipif(AWS_CLI is None, reason="the AWS CLI is not installed")
def test_the_aws_cli_starts_and_reads_executions(aws: LocalAws, tmp_path: Path) -> None:
    def cli(*arguments: str) -> Any:
        done = subprocess.run(
            [str(AWS_CLI), "--endpoint-url", aws.endpoint_url, "stepfunctions", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    machines = Machines(aws)
    arn = machines.create(machine(Map=for_each(PASS)))
    event = json.dumps({"items": list(range(60))})
    execution = cli("start-execution", "--state-machine-arn", arn, "--input", event)["executionArn"]
    machines.wait(execution)
    description = cli("describe-execution", "--execution-arn", execution)
    assert (description["status"], json.loads(description["output"])) == ("SUCCEEDED", list(range(60)))
    history = cli("get-execution-history", "--execution-arn", execution)
    assert [event["id"] for event in history["events"]] == list(range(1, 247))  # three pages
    listed = cli("list-executions", "--state-machine-arn", arn)["executions"]
    assert [item["executionArn"] for item in listed] == [execution]


def test_it_says_nothing_of_what_goes_well_or_fails_as_it_should(
    aws: LocalAws, capfd: pytest.CaptureFixture[str]
) -> None:
    machines = Machines(aws)
    machines.run(machine(Pass=PASS))
    machines.fail(machine(Fail=invoke("fail")))
    with pytest.raises(ClientError):
        aws.client("lambda").invoke(FunctionName="nope")
    assert capfd.readouterr() == ("", "")
