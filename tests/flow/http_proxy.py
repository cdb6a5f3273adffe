"""An HTTP proxy before a server that answers chosen requests itself: faults of single requests, at the socket."""

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote_plus


@dataclass
class Fault:
    """How matching requests fare, `times` times (None: always): a status, a ClickHouse code, `reset`, or late.

    `lose_answer` lets the request through and breaks the connection instead of answering.
    """

    matches: Callable[[str], bool]
    times: int | None = None
    status: int = 500
    exception_code: int = 0
    reset: bool = False
    lose_answer: bool = False
    stall_seconds: float = 0.0
    taken: int = 0


class HttpProxy:
    """Forwards to `upstream_port`; `faults` decide which requests it answers itself."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        threading.Thread(target=self._server.serve_forever, name="http-proxy", daemon=True).start()

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[Fault]:
        """Have the fault for a while."""
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def fault_for(self, request: str) -> Fault | None:
        """The fault that this request (address and body) meets, counted."""
        with self.lock:
            for fault in self.faults:
                if (fault.times is None or fault.taken < fault.times) and fault.matches(request):
                    fault.taken += 1
                    return fault
        return None


def of_team(team_id: int) -> Callable[[str], bool]:
    """Matches queries that name this team, as a parameter in the address or in a form."""
    named = re.compile(rf'param_team_id(=|"\r\n\r\n){team_id}(&|\r|$)')
    return lambda request: named.search(request) is not None


def inserts_into(table: str) -> Callable[[str], bool]:
    """Matches inserts; a compressed body begins with the statement as it is."""
    return lambda request: f"INSERT INTO {table}" in request


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: HttpProxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536

    def do_GET(self) -> None:
        self._relay()

    def do_POST(self) -> None:
        self._relay()

    def do_PUT(self) -> None:
        self._relay()

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come: what is written stays in the buffer otherwise, and clients wait for it."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def _relay(self) -> None:
        body = self._body()
        proxy = self.server.proxy  # type: ignore[attr-defined] # BaseServer knows no proxy
        fault = proxy.fault_for(unquote_plus(self.path) + "\n" + body.decode("latin-1"))
        if fault is not None and fault.stall_seconds:
            time.sleep(fault.stall_seconds)
        if fault is None or fault.stall_seconds:
            self._forward(proxy.upstream_port, body)
        elif fault.lose_answer:
            self._forward(proxy.upstream_port, body, answered=False)
        elif fault.reset:
            self.close_connection = True
            self.connection.close()
        else:
            self._answer(fault.status, *_error_answer(fault.exception_code))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _forward(self, port: int, body: bytes, answered: bool = True) -> None:
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("host", "connection", "transfer-encoding", "content-length", "expect")
        }
        upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            kept = {n: v for n, v in answer.getheaders() if n.lower() not in ("content-length", "connection")}
            content = answer.read()
            if answered:
                self._answer(answer.status, kept, content)
            else:
                self.close_connection = True
                self.connection.close()
        except OSError:
            self.close_connection = True
            self.connection.close()  # as a refused or broken connection looks to the client
        finally:
            upstream.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _error_answer(exception_code: int) -> tuple[dict[str, str], bytes]:
    """ClickHouse's own error, or without a code that of a load balancer before it."""
    if not exception_code:
        return {}, b"no healthy upstream"
    code = str(exception_code)
    return {"X-ClickHouse-Exception-Code": code}, f"Code: {code}. DB::Exception: injected".encode()
