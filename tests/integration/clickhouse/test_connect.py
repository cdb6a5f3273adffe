"""Connecting by DSN: self-hosted, Cloud, local."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.clickhouse import connect
from adapters.clickhouse_client import clickhouse_time, dsn_secret
from trace_summarization.errors import ClickHouseQueryFailed, InvalidConfiguration

PROJECT_ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("dsn", "host", "port", "secure", "username", "password"),
    [
        ("clickhouse://db.example.com", "db.example.com", 8123, False, "default", ""),
        ("clickhouse://me:pw@db.example.com:9123/analytics", "db.example.com", 9123, False, "me", "pw"),
        ("clickhouse://me:pw@db.example.com/x?secure=true", "db.example.com", 8443, True, "me", "pw"),
        ("https://me:p%40%2F%3A@abc.aws.clickhouse.cloud", "abc.aws.clickhouse.cloud", 8443, True, "me", "p@/:"),
        ("https://me@db.example.com", "db.example.com", 8443, True, "me", ""),
        ("http://[::1]:8123", "::1", 8123, False, "default", ""),
        ("https://db.example.com?secure=1&verify=false", "db.example.com", 8443, True, "default", ""),
    ],
)
def test_a_dsn_says_where_and_who(dsn: str, host: str, port: int, secure: bool, username: str, password: str) -> None:
    secret = dsn_secret(dsn)[0]
    assert (secret.host, secret.port, secret.secure) == (host, port, secure)
    assert (secret.username, secret.password) == (username, password)


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "db.example.com:8443",
        "postgres://me:pw-s3cret@db.example.com",
        "clickhouse://",
        "clickhouse://me:pw-s3cret@:8123",
        "clickhouse://me:pw-s3cret@host:port",
        "clickhouse://me:pw-s3cret@host:99999",
        "clickhouse://me:pw-s3cret@host:0",
        "clickhouse://me:pw-s3cret@[::1",
        "clickhouse://me:pw-s3cret@host?secure=yes",
        "clickhouse://me:pw-s3cret@host?secure=true&pw-s3cret-arg=1&compression=lz4",
    ],
)
def test_a_malformed_dsn_is_told_without_its_password(dsn: str) -> None:
    with pytest.raises(
        InvalidConfiguration, match=r"ClickHouse DSN: .*allowed is clickhouse://user:password@"
    ) as raised:
        connect(dsn)
    assert "pw-s3cret@" not in str(raised.value)


def test_the_dsns_database_must_exist(clickhouse_url: str) -> None:
    with pytest.raises(ClickHouseQueryFailed, match=r"81 \(UNKNOWN_DATABASE\) while connecting"):
        connect(f"{clickhouse_url}/nowhere")
    with connect(f"{clickhouse_url}/system?secure=false") as client:
        assert client.query("SELECT currentDatabase()").result_rows == [("system",)]


def test_the_adapter_imports_no_number_library() -> None:
    """They would cost a second of every cold start."""
    script = "import sys, adapters.clickhouse; print([m for m in ('numpy', 'pandas', 'pyarrow') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT / "lambdas", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_time_has_four_digits_of_a_year_whatever_the_platform() -> None:
    assert clickhouse_time(datetime(1, 2, 3, tzinfo=UTC)) == "0001-02-03 00:00:00.000000"
