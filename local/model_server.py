"""A server that speaks OpenAI's API and answers offline, without a language model.

`POST /v1/chat/completions` answers summary requests with an extractive summary of the trace in the prompt; the model in
the answer is `offline-extractive`, whatever was asked for. Tokens in `usage` are those of the `o200k_base` encoding,
the answer's schema and four tokens per message included; nothing is ever cached.

`POST /v1/embeddings` answers for `offline-wordllama`, and for names that are given at the start (see
`local.embeddings`). `GET /v1/models` lists all of them.

For tests: `GET /_requests` has the number of requests so far and one entry for each, with its `kind` (`chat`,
`embeddings`), time, model, status, tokens, names of the parameters and fault; of chat also SHA-256 of the user
messages, service tier and response format; of embeddings the number of inputs, the SHA-256 of each, and the dimensions
(also of those that were rejected). `POST /_faults` takes a list of faults (see `local.model_faults`), and
`DELETE /_faults` ends them.

    python -m local.model_server --port 8000 --embedding-dimensions text-embedding-3-small=1536
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

from embedding.models import MAX_DIMENSIONS
from local.api_errors import RejectedRequest, error_body, json_of
from local.chat_completions import MODEL_NAME, ChatRequest, completion
from local.embeddings import EMBEDDING_MODEL_NAME, EmbeddingRequest, embeddings
from local.http_server import BackgroundServer
from local.model_faults import Fault, FaultScript, InvalidFault
from local.ports import listen

_HOST = "127.0.0.1"
_MAX_ENTRIES = 100_000  # of `/_requests`; the count goes on
_ABORT_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: the peer sees a reset instead of an orderly end


class ModelServer:
    """The server in this process.

    Args:
        port: 0 takes any free one.
        latency_seconds: how long every chat answer takes at least.
        log: file that gets one JSON line per request.
        embedding_dimensions: models that are served with vectors by chance, and how many numbers these have.
    """

    def __init__(
        self,
        port: int = 0,
        latency_seconds: float = 0.0,
        log: Path | None = None,
        embedding_dimensions: Mapping[str, int] | None = None,
    ) -> None:
        self.embedding_dimensions = dict(embedding_dimensions or {})
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
        """How many requests for an answer came so far, and an entry for each."""
        with self._lock:
            return {"count": self._count, "entries": list(self._entries)}

    def record(self, entry: dict[str, Any]) -> None:
        """Count a request and log it."""
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
        self._answer({"/v1/models": self._models, "/_requests": self._model_server.requests})

    def do_POST(self) -> None:
        """A chat completion, embeddings, or a script of faults."""
        self._answer(
            {"/v1/chat/completions": self._chat, "/v1/embeddings": self._embeddings, "/_faults": self._set_faults}
        )

    def do_DELETE(self) -> None:
        """End the faults."""
        self._answer({"/_faults": self._clear_faults})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what matters is logged by `record`."""

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
            self._send(error.status, error.body)

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

    def _models(self) -> dict[str, Any]:
        names = (MODEL_NAME, EMBEDDING_MODEL_NAME, *self._model_server.embedding_dimensions)
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in names]
        return {"object": "list", "data": data}

    def _chat(self) -> dict[str, Any] | None:
        began = time.monotonic()
        request = ChatRequest(json_of(self._body()))
        server = self._model_server
        fault = server.faults.take("chat", [request.user], request.parameters)
        time.sleep(fault.seconds if fault else 0.0)
        answer = completion(request, fault)
        time.sleep(max(0.0, server.latency_seconds - (time.monotonic() - began)))
        status = _status(fault)
        server.record(
            {
                "kind": "chat",
                "time": _now(),
                "model": request.model,
                "status": status,
                "user_sha256": hashlib.sha256(request.user.encode("utf-8", "surrogatepass")).hexdigest(),
                "input_tokens": request.input_tokens,
                "output_tokens": answer["usage"]["completion_tokens"] if status == HTTPStatus.OK else 0,
                "service_tier": request.service_tier,
                "response_format": request.format,
                "parameters": sorted(set(request.parameters) - {"model", "messages"}),
                "fault": fault.name if fault else None,
            }
        )
        return answer if fault is None else self._answer_to_fault(fault, answer)

    def _embeddings(self) -> dict[str, Any] | None:
        server = self._model_server
        body = json_of(self._body())
        entry: dict[str, Any] = {"kind": "embeddings", "time": _now(), "inputs": 0, "input_sha256": [], "fault": None}
        entry |= {"model": None, "status": None, "input_tokens": 0, "dimensions": None, "parameters": []}
        try:
            request = EmbeddingRequest(body, server.embedding_dimensions)
        except RejectedRequest as error:
            server.record({**entry, "status": int(error.status), **_asked(body)})
            raise
        fault = server.faults.take("embeddings", request.texts, request.parameters)
        time.sleep(fault.seconds if fault else 0.0)
        status = _status(fault)
        answer = embeddings(request, server.embedding_dimensions, fault) if status == HTTPStatus.OK else {}
        server.record(
            {
                **entry,
                **_asked(body),
                "status": status,
                "inputs": len(request.texts),
                "input_sha256": [hashlib.sha256(text.encode()).hexdigest() for text in request.texts],
                "input_tokens": request.input_tokens,
                "dimensions": request.dimensions,
                "fault": fault.name if fault else None,
            }
        )
        return answer if fault is None else self._answer_to_fault(fault, answer)

    def _answer_to_fault(self, fault: Fault, answer: dict[str, Any]) -> dict[str, Any] | None:
        """Break the connection or send what the fault says; return the answer, disturbed or not, where it is to go."""
        if fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
            self.close_connection = True
            return None
        if fault.status is not None:
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


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _status(fault: Fault | None) -> int | None:
    """What a request with this fault is answered with; None when its connection breaks."""
    if fault is not None and fault.kind == "reset":
        return None
    return int(HTTPStatus.OK) if fault is None or fault.status is None else fault.status


def _asked(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        return {}
    return {"model": body.get("model"), "parameters": sorted(set(body) - {"model", "input"})}


def _not_found(method: str, path: str) -> str:
    allowed = "GET /v1/models, POST /v1/chat/completions and POST /v1/embeddings"
    return f"{method} {path}: not here; allowed are {allowed}"


def _model_dimensions(text: str) -> tuple[str, int]:
    name, _, dimensions = text.rpartition("=")
    if not name or not dimensions.isdecimal() or not 1 <= int(dimensions) <= MAX_DIMENSIONS:
        message = f"{text!r}: allowed is NAME=N with 1 to {MAX_DIMENSIONS} numbers"
        raise argparse.ArgumentTypeError(message)
    return name, int(dimensions)


def main() -> None:
    """Run the server until SIGTERM or Ctrl-C; the first line on stdout is JSON with its port."""
    parser = argparse.ArgumentParser(prog="python -m local.model_server", description="OpenAI's API, offline.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one (default)")
    parser.add_argument("--latency-seconds", type=float, default=0.0, help="how long every chat answer takes at least")
    parser.add_argument("--log", type=Path, default=None, help="file that gets one JSON line per request")
    parser.add_argument(
        "--embedding-dimensions",
        type=_model_dimensions,
        action="append",
        default=[],
        metavar="NAME=N",
        help="serve a model of this name with vectors of N numbers by chance, which mean nothing (may be repeated)",
    )
    arguments = parser.parse_args()
    server = ModelServer(arguments.port, arguments.latency_seconds, arguments.log, dict(arguments.embedding_dimensions))
    server.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    print(json.dumps({"port": server.port, "base_url": server.base_url}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        ended.wait()
    server.stop()


if __name__ == "__main__":
    main()
