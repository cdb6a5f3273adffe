"""A ledger table in the local AWS, reached through a proxy that can lose requests and answers."""

from collections.abc import Iterator

import pytest

from adapters import spending
from local.aws import LocalAws
from tests.flow.http_proxy import HttpProxy

TABLE = "trace-summarization-coordination"


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as aws:
        aws.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield aws


@pytest.fixture
def proxy(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpProxy]:
    proxy = HttpProxy(int(aws.endpoint_url.rpartition(":")[2]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    spending._dynamodb.cache_clear()
    yield proxy
    spending._dynamodb().close()
    spending._dynamodb.cache_clear()
    proxy.stop()
