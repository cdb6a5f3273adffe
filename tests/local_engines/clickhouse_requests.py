"""Plain requests to ClickHouse's HTTP interface."""

from __future__ import annotations

import http.client
from urllib.parse import urlencode

from local.clickhouse_server import ClickHouseServer


def request(
    server: ClickHouseServer,
    body: bytes = b"",
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    arguments: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, "/?" + urlencode(arguments or {}), body, headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()
