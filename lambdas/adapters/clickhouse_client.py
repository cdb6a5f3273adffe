"""Connections to ClickHouse over HTTP: self-hosted, Cloud, or the local server."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from adapters.clickhouse_errors import typed_errors
from adapters.secrets import ClickHouseSecret
from trace_summarization import constants as c
from trace_summarization.errors import ClickHouseUnavailable, InvalidConfiguration

_CONNECT_TIMEOUT_SECONDS: Final = 10
_DSN_FORM: Final = (
    "allowed is clickhouse://user:password@host:port/database?secure=true, http:// or https:// likewise; "
    "port, database and arguments (secure, verify) may be left out"
)


class ClickHouseConnection:
    """A client that is made on first use, kept for the life of the process, and made anew when it broke."""

    def __init__(self, open_client: Callable[[], Client]) -> None:
        self._open_client = open_client
        self._client: Client | None = None

    @contextmanager
    def client(self, doing: str) -> Iterator[Client]:
        """Lend the client for a block. Raises the driver's errors by our types; `doing` completes "... while doing"."""
        try:
            if self._client is None:
                self._client = self._open_client()
            with typed_errors(doing):
                yield self._client
        except (ClickHouseUnavailable, InvalidConfiguration):
            # A dead connection, or a password that was changed: the next use starts from the secret.
            self.close()
            raise

    def close(self) -> None:
        """Close the client; the next use opens another."""
        client, self._client = self._client, None
        if client is not None:
            client.close_connections()
            client.close()


@functools.cache
def connection_of_secret(arn: str) -> ClickHouseConnection:
    """The process's one connection to the ClickHouse that a secret describes."""
    return ClickHouseConnection(lambda: _connect_with(ClickHouseSecret.read(arn)))


def connect(dsn: str) -> Client:
    """Connect to `clickhouse://user:password@host:port/database?secure=true`, or to the same with http(s)://.

    Raises InvalidConfiguration when the DSN is malformed, and the `ClickHouse*` errors.
    """
    secret, database, verify = dsn_secret(dsn)
    return _connect_with(secret, database=database, verify=verify)


def dsn_secret(dsn: str) -> tuple[ClickHouseSecret, str, bool]:
    """Address and user that a DSN gives, its database (may be empty), and whether to verify the certificate."""
    parts = _split(dsn)
    arguments = dict(parse_qsl(parts.query, keep_blank_values=True))
    secure = _flag(arguments.pop("secure", "true" if parts.scheme == "https" else "false"), "secure")
    verify = _flag(arguments.pop("verify", "true"), "verify")
    if arguments:
        raise InvalidConfiguration(f"ClickHouse DSN: unknown argument {', '.join(sorted(arguments))}; {_DSN_FORM}")
    secret = ClickHouseSecret(
        host=parts.hostname or "",
        port=parts.port or (8443 if secure else 8123),
        username=unquote(parts.username or "") or "default",
        password=unquote(parts.password or ""),
        secure=secure,
    )
    return secret, unquote(parts.path.strip("/")), verify


def clickhouse_time(moment: datetime) -> str:
    """A time as query parameter for `DateTime64(6, 'UTC')`. The driver's own binding would cut the fraction."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _connect_with(secret: ClickHouseSecret, *, database: str = "", verify: bool = True) -> Client:
    with typed_errors("connecting"):
        return clickhouse_connect.get_client(
            host=secret.host,
            port=secret.port,
            username=secret.username,
            password=secret.password,
            database=database or None,
            interface="https" if secret.secure else "http",
            verify=verify,
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            send_receive_timeout=c.CLICKHOUSE_CLIENT_TIMEOUT_SECONDS,
            settings={"max_execution_time": c.CLICKHOUSE_MAX_EXECUTION_SECONDS},
            # Retries are Step Functions' business; a server at capacity must not get more of the same at once.
            query_retries=0,
            autogenerate_session_id=False,  # sessions forbid parallel queries and bind them to one server of many
            tz_mode="aware",
            client_name=c.SERVICE_NAME,
        )


def _split(dsn: str) -> SplitResult:
    try:
        parts = urlsplit(dsn)
        usable = parts.scheme in ("clickhouse", "http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its text may quote the password
        usable = False
    if not usable:
        raise InvalidConfiguration(f"ClickHouse DSN: malformed; {_DSN_FORM}")
    return parts


def _flag(text: str, name: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise InvalidConfiguration(f"ClickHouse DSN: {name} is neither true nor false; {_DSN_FORM}")
    return text.lower() in ("true", "1")
