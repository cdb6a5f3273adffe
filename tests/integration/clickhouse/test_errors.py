"""What goes wrong with ClickHouse, by type, and nothing of a trace or a password in any message."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import clickhouse_connect
import pytest
import urllib3
from clickhouse_connect.driver.client import Client

from adapters.clickhouse import ClickHouseConnection, ClickHouseSummaryStore, ClickHouseTraceStore, connect
from adapters.clickhouse_errors import typed_errors
from tests.integration.clickhouse.events_database import EventsDatabase, at, window
from tests.integration.clickhouse.test_summaries import summary
from trace_summarization.errors import (
    ClickHouseAtCapacity,
    ClickHouseQueryFailed,
    ClickHouseTimeout,
    ClickHouseUnavailable,
    InvalidConfiguration,
    TraceSummarizationError,
)

SECRET_TEXT = "what the customer wrote"
HOUR = window("14:00", "15:00")
DATABASE = "broken_database"


class Answering(ThreadingHTTPServer):
    """Answers what the driver asks when it connects like ClickHouse, by asking a real one, and our queries as told."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, upstream: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.upstream = upstream
        self.answer = answer
        self.queries = 0
        super().__init__(("127.0.0.1", 0), AnsweringHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class AnsweringHandler(BaseHTTPRequestHandler):
    server: Answering
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        inserts = "chunked" in self.headers.get("Transfer-Encoding", "")
        body = self._chunks() if inserts else self.rfile.read(int(self.headers["Content-Length"] or 0))
        if inserts or f"{DATABASE}.".encode() in body:
            self.server.queries += 1
            self.server.answer(self)
        else:
            self._forward(body)

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _forward(self, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
        with urllib3.PoolManager() as pool:
            answer = pool.request("POST", self.server.upstream + self.path, body=body, headers=headers)
        self.send_response_only(answer.status)
        for name in ("X-ClickHouse-Format", "X-ClickHouse-Timezone", "X-ClickHouse-Summary"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.data)))
        self.end_headers()
        self.wfile.write(answer.data)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@contextmanager
def answering(upstream: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Answering]:
    with Answering(upstream, answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def exception(code: int, status: int = 500) -> Callable[[BaseHTTPRequestHandler], None]:
    """ClickHouse's answer to a query that failed: the text quotes data, as its own can."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = f"Code: {code}. DB::Exception: at '{SECRET_TEXT}' (QUOTEDKEY) (SOME_NAME) (version 25.8.1.1)".encode()
        request.send_response_only(status)
        request.send_header("X-ClickHouse-Exception-Code", str(code))
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def plain(status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """The answer of something between the client and ClickHouse."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = f"<html>{SECRET_TEXT}</html>".encode()
        request.send_response_only(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def reset(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    request.connection.close()


def cut_off(request: BaseHTTPRequestHandler) -> None:
    """Headers that promise more than what comes before the connection ends."""
    request.send_response_only(200)
    request.send_header("X-ClickHouse-Format", "Native")
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b"\x01\x01")
    request.wfile.flush()
    request.close_connection = True


def fail_in_mid_result(request: BaseHTTPRequestHandler) -> None:
    """ClickHouse began to send rows, with status 200, and then failed."""
    body = f"\x01\x01Code: 159. DB::Exception: {SECRET_TEXT} (TIMEOUT_EXCEEDED)".encode()
    request.send_response_only(200)
    request.send_header("X-ClickHouse-Format", "Native")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def calls(connection: ClickHouseConnection) -> dict[str, Callable[[], object]]:
    """Each kind of call that the stores make."""
    traces = ClickHouseTraceStore(connection, DATABASE)
    summaries = ClickHouseSummaryStore(connection, DATABASE, f"{DATABASE}.events")
    return {
        "sampling traces": lambda: traces.sample(1, HOUR, 10),
        "measuring a trace": lambda: traces.extent(1, SECRET_TEXT, HOUR),
        "looking for a stored summary": lambda: summaries.find(1, SECRET_TEXT, "detailed", at("14:00")),
        "saving a summary": lambda: summaries.save(summary(at("14:00"), text=SECRET_TEXT)),
    }


def check_error(url: str, call: str, expected: type[TraceSummarizationError], caplog: pytest.LogCaptureFixture) -> str:
    """The call ends in that very type, says what it was doing, and tells nothing that it must not."""
    connection = ClickHouseConnection(lambda: connect(url.replace("http://", "http://reader:s3cret@")))
    with caplog.at_level(logging.INFO), pytest.raises(TraceSummarizationError) as raised:
        calls(connection)[call]()
    connection.close()
    assert type(raised.value) is expected
    message = str(raised.value)
    assert message.endswith(call) or f"while {call} (" in message
    assert raised.value.__suppress_context__
    for text in (message, caplog.text):
        assert SECRET_TEXT not in text
        assert "s3cret" not in text
        assert "QUOTEDKEY" not in text
    return message


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (159, ClickHouseTimeout),
        (160, ClickHouseTimeout),
        (202, ClickHouseAtCapacity),
        (203, ClickHouseAtCapacity),
        (252, ClickHouseAtCapacity),
        (439, ClickHouseAtCapacity),
        (745, ClickHouseAtCapacity),
        (209, ClickHouseUnavailable),
        (210, ClickHouseUnavailable),
        (225, ClickHouseUnavailable),
        (242, ClickHouseUnavailable),
        (279, ClickHouseUnavailable),
        (319, ClickHouseUnavailable),
        (999, ClickHouseUnavailable),
        (192, InvalidConfiguration),
        (193, InvalidConfiguration),
        (194, InvalidConfiguration),
        (516, InvalidConfiguration),
        (60, ClickHouseQueryFailed),
        (241, ClickHouseQueryFailed),
        (497, ClickHouseQueryFailed),
        (1, ClickHouseQueryFailed),
    ],
)
def test_clickhouse_codes_become_our_types(
    clickhouse_url: str, code: int, expected: type[TraceSummarizationError], caplog: pytest.LogCaptureFixture
) -> None:
    with answering(clickhouse_url, exception(code)) as server:
        message = check_error(server.url, "measuring a trace", expected, caplog)
    assert f"ClickHouse error {code}" in message


@pytest.mark.parametrize("call", calls(ClickHouseConnection(lambda: pytest.fail("not called"))))
def test_every_call_has_its_errors_typed(clickhouse_url: str, call: str, caplog: pytest.LogCaptureFixture) -> None:
    with answering(clickhouse_url, exception(159, status=408)) as server:
        check_error(server.url, call, ClickHouseTimeout, caplog)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_at_capacity_is_asked_once(clickhouse_url: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    with answering(clickhouse_url, exception(202, status)) as server:
        check_error(server.url, "sampling traces", ClickHouseAtCapacity, caplog)
        assert server.queries == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (502, ClickHouseUnavailable),
        (503, ClickHouseUnavailable),
        (504, ClickHouseTimeout),
        (429, ClickHouseAtCapacity),
        (401, InvalidConfiguration),
        (403, InvalidConfiguration),
        (400, ClickHouseQueryFailed),
    ],
)
def test_a_proxys_answer_becomes_our_type(
    clickhouse_url: str, status: int, expected: type[TraceSummarizationError], caplog: pytest.LogCaptureFixture
) -> None:
    with answering(clickhouse_url, plain(status)) as server:
        assert f"HTTP status {status}" in check_error(server.url, "sampling traces", expected, caplog)


@pytest.mark.parametrize("call", ["measuring a trace", "saving a summary"])
def test_a_connection_that_breaks_is_unavailable(
    clickhouse_url: str, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    with answering(clickhouse_url, reset) as server:
        check_error(server.url, call, ClickHouseUnavailable, caplog)


def test_a_result_that_is_cut_off_is_unavailable(clickhouse_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with answering(clickhouse_url, cut_off) as server:
        check_error(server.url, "measuring a trace", ClickHouseUnavailable, caplog)


def test_an_error_in_mid_result_keeps_its_code(clickhouse_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with answering(clickhouse_url, fail_in_mid_result) as server:
        check_error(server.url, "measuring a trace", ClickHouseTimeout, caplog)


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://reader:s3cret@127.0.0.1:{taken.getsockname()[1]}"
    store = ClickHouseTraceStore(ClickHouseConnection(lambda: connect(url)), DATABASE)
    with pytest.raises(ClickHouseUnavailable, match="no connection while connecting") as raised:
        store.sample(1, HOUR, 10)
    assert "s3cret" not in str(raised.value)


def test_an_answer_that_takes_too_long_is_a_timeout(clickhouse_url: str) -> None:
    released = threading.Event()

    def wait(request: BaseHTTPRequestHandler) -> None:
        released.wait(10)
        request.close_connection = True

    with answering(clickhouse_url, wait) as server:
        host, port = "127.0.0.1", server.server_address[1]
        impatient = clickhouse_connect.get_client(host=host, port=port, send_receive_timeout=1)
        store = ClickHouseTraceStore(ClickHouseConnection(lambda: impatient), DATABASE)
        began = time.monotonic()
        with pytest.raises(ClickHouseTimeout, match="no answer in time while sampling traces"):
            store.sample(1, HOUR, 10)
        released.set()
        assert time.monotonic() - began < 5
        impatient.close()


def test_a_query_beyond_its_time_limit_is_a_timeout(client: Client) -> None:
    with pytest.raises(ClickHouseTimeout, match=r"159 \(TIMEOUT_EXCEEDED\)"), typed_errors("counting"):
        client.query("SELECT count() FROM numbers(1e12) WHERE NOT ignore(number)", settings={"max_execution_time": 1})


def test_every_query_carries_its_time_limit(client: Client) -> None:
    assert client.query("SELECT getSetting('max_execution_time')").result_rows == [(60,)]


def test_a_missing_table_is_named_by_its_code(empty_database: EventsDatabase) -> None:
    with pytest.raises(ClickHouseQueryFailed, match=r"\((UNKNOWN_TABLE|UNKNOWN_DATABASE)\) while sampling traces"):
        empty_database.traces.sample(1, HOUR, 10)


def test_a_broken_connection_is_made_anew(clickhouse_url: str) -> None:
    opened: list[Client] = []
    refuse = [False]

    def answer(request: BaseHTTPRequestHandler) -> None:
        exception(516 if refuse[0] else 60)(request)

    with answering(clickhouse_url, answer) as server:

        def open_client() -> Client:
            opened.append(connect(server.url))
            return opened[-1]

        connection = ClickHouseConnection(open_client)
        store = ClickHouseTraceStore(connection, DATABASE)
        for _ in range(2):
            with pytest.raises(ClickHouseQueryFailed):
                store.sample(1, HOUR, 10)
        assert len(opened) == 1
        refuse[0] = True
        for _ in range(2):
            with pytest.raises(InvalidConfiguration):
                store.sample(1, HOUR, 10)
        assert len(opened) == 2
        connection.close()


def test_saving_asks_for_the_servers_own_batching_and_to_wait_for_it(clickhouse_url: str) -> None:
    """As sent: the local engine writes each insert at once, whatever it is asked for."""
    sent: list[dict[str, list[str]]] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        sent.append(parse_qs(urlsplit(request.path).query))
        request.send_response_only(200)
        request.send_header("Content-Length", "0")
        request.end_headers()

    with answering(clickhouse_url, answer) as server:
        connection = ClickHouseConnection(lambda: connect(server.url))
        ClickHouseSummaryStore(connection, DATABASE, f"{DATABASE}.events").save(summary(at("14:00")))
        connection.close()
    (arguments,) = sent
    assert (arguments["async_insert"], arguments["wait_for_async_insert"]) == (["1"], ["1"])
    assert arguments["max_execution_time"] == ["60"]
