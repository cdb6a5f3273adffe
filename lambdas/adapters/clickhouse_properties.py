"""Stored properties of events, read so that no row can stop a trace."""

import json
import re
from typing import Any

RAW_PROPERTIES_KEY = "$raw"

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_properties(stored: bytes) -> dict[str, Any]:
    """The JSON object that an event's properties hold.

    Whatever is no JSON object (other JSON, broken JSON, nesting or integers beyond Python's limits) becomes
    `{"$raw": text}`: nothing is lost, and a reader sees it for what it is. Bytes that are no UTF-8 become U+FFFD, lone
    surrogates `?`, and NaN and Infinity their names as text: everything returned can be encoded again.
    """
    text = stored.decode("utf-8", errors="replace")
    try:
        value = json.loads(text, parse_constant=str)
        if _SURROGATE_ESCAPE.search(text):
            # Paired ones were joined by now: what encoding replaces are the lone ones.
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", errors="replace"))
    except (ValueError, RecursionError):
        return {RAW_PROPERTIES_KEY: text}
    return value if isinstance(value, dict) else {RAW_PROPERTIES_KEY: text}
