"""Where the next page begins: opaque to callers, and good for the request that it came from alone."""

import base64
import binascii
import hashlib
import json
import re
from typing import Any, Final

from trace_summarization.errors import InvalidInput

MAX_CURSOR_LENGTH: Final = 64
_FORM: Final = re.compile(r"(?P<position>[0-9]{1,6})\.(?P<fingerprint>[0-9a-f]{16})", re.ASCII)
_ALLOWED: Final = "allowed is the next_cursor of the same search, unchanged"


def fingerprint(*parts: Any) -> str:
    """What tells one search from another, from everything that its ranking depends on: 16 hex digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def cursor_at(position: int, request: str) -> str:
    """The cursor for results from `position` on of the request with this fingerprint."""
    return base64.urlsafe_b64encode(f"{position}.{request}".encode()).decode().rstrip("=")


def position_of(cursor: str, request: str) -> int:
    """The position that a cursor names. Raises InvalidInput when it is malformed or of another request."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        found = _FORM.fullmatch(text)
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        raise InvalidInput(f"cursor: {json.dumps(cursor)} is none; {_ALLOWED}")
    if found["fingerprint"] != request:
        raise InvalidInput(f"cursor: {json.dumps(cursor)} is that of another search; {_ALLOWED}")
    return int(found["position"])
