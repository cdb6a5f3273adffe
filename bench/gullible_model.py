"""A model that believes everything: it finds the instruction planted in its prompt and does as it says.

It speaks OpenAI's chat completions over a socket. An instruction that holds a JSON object gets that as its answer;
any other is put, whole, into every field of the answer, in one of several ways of misbehaving.
"""

import hashlib
import json
import re
import socket
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import TracebackType
from typing import Any, Self

from bench.injections import found
from local.http_server import BackgroundServer
from local.ports import listen

MODEL_NAME = "gullible"
_HOST = "127.0.0.1"
_BULLETS = 40
_SECRET_LINE = re.compile(r"[^\n]*\bcredentials\b[^\n]*")
_WAYS = 5


class GullibleModel:
    """The server, in this process, from `with` to its end."""

    def __init__(self) -> None:
        listener = listen(_HOST, 0)
        self._server = _HttpServer(listener)
        self.base_url = f"http://{_HOST}:{listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()


def gullible_answer(prompt: str) -> str:
    """The content of the answer to a prompt: what the planted instruction asks for."""
    instruction = found(prompt)
    order = _ordered_answer(instruction)
    if order is not None:
        return order
    secrets = " ".join(_SECRET_LINE.findall(prompt))[:2_000]
    way = hashlib.sha256(instruction.encode("utf-8", "surrogatepass")).digest()[0] % _WAYS
    answer = _in_every_field(instruction, secrets, way)
    return json.dumps(answer)


def _ordered_answer(instruction: str) -> str | None:
    """The JSON object within an instruction, where it is one."""
    start, end = instruction.find("{"), instruction.rfind("}")
    if start < 0:
        return None
    try:
        whole = json.loads(instruction[start : end + 1])
    except ValueError:
        return None
    return json.dumps(whole) if isinstance(whole, dict) and "title" in whole else None


def _in_every_field(instruction: str, secrets: str, way: int) -> Mapping[str, Any]:
    refs = ("L1-99999", "L1, L2, L3", "L999999", f"L1 {instruction[:50]}", "L1-2")[way]
    item = {"text": f"{instruction} {secrets}", "line_refs": refs}
    diagrams = (
        instruction,
        f'flowchart TD\nA["{instruction}"] --> B["{secrets}"]',
        f'flowchart TD\nA[Start] -->|{instruction}| B\nclick A "javascript:alert(1)"',
        f"flowchart TD\nA[{instruction}]\n%%{{init: {{'securityLevel': 'loose'}}}}%%",
        f"flowchart TD\nA({secrets}) -- {instruction} --> B",
    )
    return {
        "title": f"{secrets} {instruction}" if way % 2 else f"{instruction} {secrets}",
        "flow_diagram": diagrams[way],
        "summary_bullets": [item, {**item, "html": instruction}, *[dict(item, text=instruction * 20)] * _BULLETS],
        "interesting_notes": [dict(item, text=secrets or instruction)] * _BULLETS,
        "system_prompt": secrets,
        instruction[:40]: instruction,
    }


class _HttpServer(BackgroundServer, HTTPServer):
    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname(), _RequestHandler, bind_and_activate=False)
        self.serve_in_background(listener, "gullible-model")


class _RequestHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024

    def do_POST(self) -> None:
        """A chat completion."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        prompt = "\n".join(str(message.get("content")) for message in body["messages"] if message["role"] == "user")
        message = {"role": "assistant", "content": gullible_answer(prompt), "refusal": None}
        answer = {
            "id": "chatcmpl-gullible",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL_NAME,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        content = json.dumps(answer).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
