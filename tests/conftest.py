"""Fixtures for all tests. A process can hold one ClickHouse engine and one local AWS, so all tests share them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trace_summarization.constants import METRICS_NAMESPACE

if TYPE_CHECKING:  # the engines take seconds to import: only tests that use them pay for it
    from local.clickhouse_server import ClickHouseServer
    from local.stack import Stack
    from tests.flow.http_proxy import HttpProxy
    from tests.flow.workbench import Workbench

_TESTS = Path(__file__).parent
# The handlers' metrics read these when a handler is imported, in whichever test that happens first.
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "tests")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", METRICS_NAMESPACE)
_ORDER = ("unit", "local_engines", "integration", "infra", "flow", "docs", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The small before the large; and what needs a local AWS of its own before the stack that lasts for the session."""
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(_TESTS).parts[0]))


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator["ClickHouseServer"]:
    """The real engine in memory behind its HTTP interface."""
    from local.clickhouse_server import ClickHouseServer

    server = ClickHouseServer(data_dir=None)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def bench(clickhouse_server: "ClickHouseServer", tmp_path_factory: pytest.TempPathFactory) -> Iterator["Workbench"]:
    """A whole stack for the session: real engines, real bundles, the synthesized state machines.

    Retries wait a fiftieth of what they wait in AWS. It has no poller of its own: tests look at
    what is in the queue, and those of embeddings read it in both modes, from where the test begins.
    """
    from local.stack import Stack
    from local.stack_options import StackOptions
    from tests.flow.http_proxy import HttpProxy
    from tests.flow.workbench import Workbench

    options = StackOptions(
        data_dir=tmp_path_factory.mktemp("stack"), persistent=False, workers=4, backoff_scale=0.02, poller=False
    )
    proxy = HttpProxy(clickhouse_server.port)
    with Stack(options, clickhouse=clickhouse_server) as stack:
        info = stack.start()
        _connect_functions_through(proxy, stack)
        with info.clickhouse() as client:
            yield Workbench(stack, info, proxy, client)
    proxy.stop()


def _connect_functions_through(proxy: "HttpProxy", stack: "Stack") -> None:
    """No function has read the secret yet: they start with their first invocation."""
    secrets = stack.aws.client("secretsmanager")
    for secret in secrets.list_secrets()["SecretList"]:
        value = json.loads(secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"])
        if value.get("port") == stack.clickhouse.port:
            secrets.put_secret_value(SecretId=secret["ARN"], SecretString=json.dumps({**value, "port": proxy.port}))
