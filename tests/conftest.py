"""Fixtures for all tests. A process can hold one ClickHouse engine, so all tests share one server."""

from collections.abc import Iterator

import pytest

from local.clickhouse_server import ClickHouseServer


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[ClickHouseServer]:
    """The real engine in memory behind its HTTP interface."""
    server = ClickHouseServer(data_dir=None)
    server.start()
    yield server
    server.stop()
