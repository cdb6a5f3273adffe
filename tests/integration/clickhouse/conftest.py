import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from adapters.clickhouse import connect
from adapters.schema import apply_schema
from tests.integration.clickhouse.events_database import EventsDatabase

PROJECT_ROOT = Path(__file__).parents[3]

# In a process of its own, because a process can hold one engine only and other tests may want theirs.
SERVER = """
import sys
from local.clickhouse_server import ClickHouseServer

with ClickHouseServer(None) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def clickhouse_url() -> Iterator[str]:
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.stdin.close()
        server.wait(timeout=30)


@pytest.fixture(scope="session")
def client(clickhouse_url: str) -> Iterator[Client]:
    with connect(clickhouse_url) as client:
        yield client


@pytest.fixture
def empty_database(client: Client) -> Iterator[EventsDatabase]:
    database = EventsDatabase(client, f"test_{next(_numbers)}")
    yield database
    client.command(f"DROP DATABASE IF EXISTS {database.name} SYNC")


@pytest.fixture
def database(empty_database: EventsDatabase) -> EventsDatabase:
    apply_schema(empty_database.client, empty_database.name, empty_database.events_table)
    return empty_database
