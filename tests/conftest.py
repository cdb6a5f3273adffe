"""Fixtures for all tests. A process can hold one ClickHouse engine, so all tests share one server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.clickhouse_server import ClickHouseServer

_TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[ClickHouseServer]:
    """The real engine in memory behind its HTTP interface."""
    server = ClickHouseServer(data_dir=None)
    server.start()
    yield server
    server.stop()


_ORDER = ("unit", "local_engines", "integration", "infra", "flow", "docs", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The small before the large; and what needs a local AWS of its own before the stack that lasts for the session."""
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(_TESTS).parts[0]))
