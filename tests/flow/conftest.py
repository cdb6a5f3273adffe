"""A whole stack for the flow tests: real engines, real bundles, the synthesized state machines."""

import json
from collections.abc import Iterator

import pytest

from local.clickhouse_server import ClickHouseServer
from local.stack import Stack
from local.stack_options import StackOptions
from tests.flow.http_proxy import HttpProxy
from tests.flow.workbench import Workbench


@pytest.fixture(scope="session")
def bench(clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """One stack for the session. Retries wait a fiftieth of what they wait in AWS."""
    options = StackOptions(data_dir=tmp_path_factory.mktemp("stack"), persistent=False, workers=4, backoff_scale=0.02)
    proxy = HttpProxy(clickhouse_server.port)
    with Stack(options, clickhouse=clickhouse_server) as stack:
        info = stack.start()
        _connect_functions_through(proxy, stack)
        with info.clickhouse() as client:
            yield Workbench(stack, info, proxy, client)
    proxy.stop()


def _connect_functions_through(proxy: HttpProxy, stack: Stack) -> None:
    """No function has read the secret yet: they start with their first invocation."""
    secrets = stack.aws.client("secretsmanager")
    for secret in secrets.list_secrets()["SecretList"]:
        value = json.loads(secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"])
        if value.get("port") == stack.clickhouse.port:
            secrets.put_secret_value(SecretId=secret["ARN"], SecretString=json.dumps({**value, "port": proxy.port}))
