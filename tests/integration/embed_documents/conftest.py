"""`embed_documents` among real servers on sockets: ClickHouse behind a proxy, S3 and secrets, the model's server."""

import base64
import functools
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from adapters import clickhouse_client, failure_place, secrets
from adapters.clickhouse import connect
from adapters.schema import apply_schema
from embedding.requests import encode
from local.aws import LocalAws
from local.clickhouse_server import ClickHouseServer
from local.model_server import ModelServer
from tests.embedding_documents import message
from tests.flow.http_proxy import HttpProxy

MODEL = "test-embedding-4"
TOPIC = "document_embeddings_input"
_numbers = itertools.count(1)


@dataclass
class Context:
    """Lambda's context of one invocation."""

    seconds: float = 300.0
    function_name: str = "embed-documents"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:embed-documents"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1_000)


@dataclass
class Worker:
    """The handler and what stands around it."""

    handler: Callable[[Any, Any], dict[str, Any]]
    aws: LocalAws
    client: Client
    database: str
    bucket: str
    model: ModelServer
    clickhouse: HttpProxy
    set_environment: Callable[[str, str], None]
    context: Context = field(default_factory=Context)

    def deliver(self, *values: bytes | None, source: str = "aws:kafka") -> dict[str, Any]:
        """Invoke with one batch of partition 0; offsets begin at 0."""
        return self.handler(kafka_event(*values, source=source), self.context)

    def contents(self) -> list[str]:
        """Contents of the rows that readers see, sorted."""
        sql = f"SELECT content FROM {self.database}.document_embeddings FINAL ORDER BY content"
        return [content for (content,) in self.client.query(sql).result_rows]

    def kept(self) -> dict[int, dict[str, Any]]:
        """Objects of the failure bucket by offset."""
        s3 = self.aws.client("s3")
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])]
        objects = [json.loads(s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]
        return {each["offset"]: each for each in objects}

    def model_requests(self) -> list[dict[str, Any]]:
        """What the model was asked for."""
        return list(self.model.requests()["entries"])


def queued(document_id: str, content: str, **fields: Any) -> bytes:
    """A message for the server's model."""
    return encode(message(document_id, content, **{"models": [MODEL], **fields}))


def kafka_event(*values: bytes | None, source: str = "aws:kafka") -> dict[str, Any]:
    """What Lambda passes for records of partition 0 (Lambda guide, "Amazon MSK" and "self-managed Apache Kafka")."""
    records = [
        {
            "topic": TOPIC,
            "partition": 0,
            "offset": offset,
            "timestamp": 1_736_950_200_000,
            "timestampType": "CREATE_TIME",
            "key": base64.b64encode(b"key").decode(),
            **({} if value is None else {"value": base64.b64encode(value).decode()}),
            "headers": [],
        }
        for offset, value in enumerate(values)
    ]
    arn = {"eventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/c/1"} if source == "aws:kafka" else {}
    return {"eventSource": source, **arn, "bootstrapServers": "b-1:9098", "records": {f"{TOPIC}-0": records}}


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as aws:
        yield aws


@pytest.fixture
def worker(aws: LocalAws, clickhouse_server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    number = next(_numbers)
    database, bucket = f"embed_{number}", f"failures-{number}"
    clickhouse = HttpProxy(clickhouse_server.port)
    model = ModelServer(embedding_dimensions={"test-embedding": 4})
    model.start()
    client = connect(clickhouse_server.url)
    apply_schema(client, database, f"{database}.events")
    aws.client("s3").create_bucket(Bucket=bucket)
    kept_for_the_process = (
        failure_place._s3,
        secrets._secrets_provider,
        clickhouse_client.connection_of_secret,
    )
    for cached in kept_for_the_process:
        cached.cache_clear()
    environment = {
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "POWERTOOLS_METRICS_NAMESPACE": "TraceSummarization",
        "POWERTOOLS_SERVICE_NAME": "trace-summarization",
        "CLICKHOUSE_SECRET_ARN": _secret(
            aws, f"clickhouse-{number}", host="127.0.0.1", port=clickhouse.port, secure=False
        ),
        "CLICKHOUSE_DATABASE": database,
        "EMBEDDING_SECRET_ARN": _secret(aws, f"model-{number}", base_url=model.base_url, provider="offline"),
        "EMBEDDING_MODELS": MODEL,
        "FAILURE_BUCKET": bucket,
        "PARTIAL_BATCH_RESPONSES": "False",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    from handlers import embed_documents  # reads the names of its metrics when it is imported

    embed_documents._model.cache_clear()
    yield Worker(
        embed_documents.handler,
        aws,
        client,
        database,
        bucket,
        model,
        clickhouse,
        functools.partial(monkeypatch.setenv),
    )
    if clickhouse_client.connection_of_secret.cache_info().currsize:
        clickhouse_client.connection_of_secret(environment["CLICKHOUSE_SECRET_ARN"]).close()
    if failure_place._s3.cache_info().currsize:
        failure_place._s3().close()
    for cached in kept_for_the_process:
        cached.cache_clear()
    embed_documents._model.cache_clear()
    client.command(f"DROP DATABASE {database} SYNC")
    client.close()
    model.stop()
    clickhouse.stop()


def _secret(aws: LocalAws, name: str, **value: Any) -> str:
    created = aws.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(value))
    return str(created["ARN"])
