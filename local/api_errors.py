"""What the offline model server says to requests that OpenAI's API would not take either."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any


class RejectedRequest(Exception):
    """A request that OpenAI's API would answer with an error too."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, kind, param, code)


def json_of(body: bytes) -> Any:
    """A request's body. Raises RejectedRequest when it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RejectedRequest(HTTPStatus.BAD_REQUEST, "the body is not JSON") from error


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def well_formed(text: str) -> str:
    """The text without half surrogate pairs: JSON can hold them, and no tokenizer takes them."""
    return text.encode("utf-8", "replace").decode()
