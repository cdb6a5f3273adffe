"""A server that speaks OpenAI's API and answers offline, without a language model.

`POST /v1/chat/completions` answers summary requests with an extractive summary of the trace in the prompt; the model in
the answer is `offline-extractive`, whatever was asked for. `GET /v1/models` lists it. Tokens in `usage` are those of
the `o200k_base` encoding, the answer's schema and four tokens per message included; nothing is ever cached.

For tests: `GET /_requests` has the number of chat requests so far and one entry for each (time, model, status, SHA-256
of the user messages, tokens, service tier, response format, names of the parameters, fault); `POST /_faults` takes a
list of faults (see `local.model_faults`), and `DELETE /_faults` ends them.

    python -m local.model_server --port 8000
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import signal
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.chat_completions import MODEL_NAME, ChatRequest, RejectedRequest, completion, error_body, json_of
from local.http_server import BackgroundServer
from local.model_faults import FaultScript, InvalidFault
from local.ports import listen

_HOST = "127.0.0.1"
_MAX_ENTRIES = 100_000  # of `/_requests`; the count goes on
_ABORT_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: the peer sees a reset instead of an orderly end


class ModelServer:
    """The server in this process.

    Args:
        port: 0 takes any free one.
        latency_seconds: how long every chat answer takes at least.
        log: file that gets one JSON line per chat request.
    """

    def __init__(self, port: int = 0, latency_seconds: float = 0.0, log: Path | None = None) -> None:
        self.faults = FaultScript()
        self.latency_seconds = latency_seconds
        self._port = port
        self._log = log
        self._entries: deque[dict[str, Any]] = deque(maxlen=_MAX_ENTRIES)
        self._count = 0
        self._lock = threading.Lock()
        self._server: _HttpServer | None = None

    @property
    def port(self) -> int:
        """Where it listens; complete once started."""
        return self._port

    @property
    def base_url(self) -> str:
        """What OpenAI clients take as `base_url`; complete once started."""
        return f"http://{_HOST}:{self._port}/v1"

    def start(self) -> None:
        """Listen and answer in the background. Raises PortInUseError."""
        listener = listen(_HOST, self._port)
        self._port = listener.getsockname()[1]
        self._server = _HttpServer(listener, self)

    def stop(self) -> None:
        """Break all connections and stop."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def requests(self) -> dict[str, Any]:
        """How many chat requests came so far, and an entry for each."""
        with self._lock:
            return {"count": self._count, "entries": list(self._entries)}

    def record(self, entry: dict[str, Any]) -> None:
        """Count a chat request and log it."""
        with self._lock:
            self._count += 1
            self._entries.append(entry)
            if self._log is not None:
                with self._log.open("a", encoding="utf-8") as log:
                    log.write(json.dumps(entry) + "\n")


class _HttpServer(BackgroundServer, HTTPServer):
    """Where request handlers find the model server."""

    def __init__(self, listener: socket.socket, model_server: ModelServer) -> None:
        super().__init__(listener.getsockname(), _RequestHandler, bind_and_activate=False)
        self.model_server = model_server
        self.serve_in_background(listener, "model-http")


class _RequestHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a small answer takes 40 ms otherwise
    wbufsize = 64 * 1024
    server: Any  # a _HttpServer

    def do_GET(self) -> None:
        """The model list, or the log of requests."""
        self._answer({"/v1/models": _models, "/_requests": self._model_server.requests})

    def do_POST(self) -> None:
        """A chat completion, or a script of faults."""
        self._answer({"/v1/chat/completions": self._chat, "/_faults": self._set_faults})

    def do_DELETE(self) -> None:
        """End the faults."""
        self._answer({"/_faults": self._clear_faults})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: chat requests are logged by `record`."""

    @property
    def _model_server(self) -> ModelServer:
        server: ModelServer = self.server.model_server
        return server

    def _answer(self, routes: Mapping[str, Any]) -> None:
        path = urlsplit(self.path).path
        if path not in routes:
            self._body()  # read, so that the next request on this connection begins where it should
            self._send(HTTPStatus.NOT_FOUND, error_body(_not_found(self.command, path), "invalid_request_error"))
            return
        try:
            answer = routes[path]()
            if answer is not None:
                self._send(HTTPStatus.OK, answer)
        except RejectedRequest as error:
            self._send(error.status, error_body(str(error), "invalid_request_error", error.param))

    def _set_faults(self) -> dict[str, Any]:
        try:
            self._model_server.faults.replace(json_of(self._body()))
        except InvalidFault as error:
            raise RejectedRequest(HTTPStatus.BAD_REQUEST, str(error)) from error
        return {"ok": True}

    def _clear_faults(self) -> dict[str, Any]:
        self._body()
        self._model_server.faults.clear()
        return {"ok": True}

    def _chat(self) -> dict[str, Any] | None:
        began = time.monotonic()
        request = ChatRequest(json_of(self._body()))
        server = self._model_server
        fault = server.faults.take(request.user, request.parameters)
        time.sleep(fault.seconds if fault else 0.0)
        answer = completion(request, fault)
        time.sleep(max(0.0, server.latency_seconds - (time.monotonic() - began)))
        status = fault.status if fault and fault.status else HTTPStatus.OK
        resets = fault is not None and fault.kind == "reset"
        server.record(
            {
                "time": datetime.now(UTC).isoformat(),
                "model": request.model,
                "status": None if resets else int(status),
                "user_sha256": hashlib.sha256(request.user.encode("utf-8", "surrogatepass")).hexdigest(),
                "input_tokens": request.input_tokens,
                "output_tokens": answer["usage"]["completion_tokens"] if status == HTTPStatus.OK else 0,
                "service_tier": request.service_tier,
                "response_format": request.format,
                "parameters": sorted(set(request.parameters) - {"model", "messages"}),
                "fault": fault.name if fault else None,
            }
        )
        if resets:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
            self.close_connection = True
            return None
        if fault is not None and fault.status is not None:
            body = fault.body if fault.body is not None else error_body("a scripted fault", "scripted_fault")
            self._send(fault.status, body, fault.headers)
            return None
        return answer

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)


def _models() -> dict[str, Any]:
    return {"object": "list", "data": [{"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "local"}]}


def _not_found(method: str, path: str) -> str:
    if path == "/v1/embeddings":
        return "this server has no embedding model"
    return f"{method} {path}: not here; allowed are GET /v1/models and POST /v1/chat/completions"


def main() -> None:
    """Run the server until SIGTERM or Ctrl-C; the first line on stdout is JSON with its port."""
    parser = argparse.ArgumentParser(prog="python -m local.model_server", description="OpenAI's API, offline.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one (default)")
    parser.add_argument("--latency-seconds", type=float, default=0.0, help="how long every answer takes at least")
    parser.add_argument("--log", type=Path, default=None, help="file that gets one JSON line per chat request")
    arguments = parser.parse_args()
    server = ModelServer(arguments.port, arguments.latency_seconds, arguments.log)
    server.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    print(json.dumps({"port": server.port, "base_url": server.base_url}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        ended.wait()
    server.stop()


if __name__ == "__main__":
    main()
