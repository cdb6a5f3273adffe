"""What an `$ai_error` says, as a person would write it down: `not_found_error: no such model`."""

import json
from collections.abc import Iterator

from trace_summarization.text_repr.entries import is_empty
from trace_summarization.text_repr.plain_text import compact_json

_KIND_KEYS = ("type", "name", "code", "status", "statusCode", "status_code")
_MESSAGE_KEYS = ("message", "msg", "detail", "error_message", "errorMessage", "description", "error")
_REQUEST_IDS = frozenset({"request_id", "requestId", "req_id"})
_MAX_DEPTH = 6


def error_text(error: object) -> str:
    """The error's kind, message and whatever else it holds; one that is no JSON object stays as it is."""
    if isinstance(error, str):
        parsed = _object_in(error)
        return error if parsed is None else _told(parsed)
    return _told(error) if isinstance(error, dict) else compact_json(error)


def _told(error: dict[str, object]) -> str:
    """Kinds first, then messages, outermost first; then all other members as JSON."""
    kinds: list[str] = []
    messages: list[str] = []
    rest: dict[str, list[object]] = {}
    for body in _bodies(error, 0):
        for key, value in body.items():
            if key in _KIND_KEYS and isinstance(value, str | int) and not isinstance(value, bool):
                kinds.append(str(value))
            elif key in _MESSAGE_KEYS and isinstance(value, str):
                messages.append(value)
            elif key not in _REQUEST_IDS and not is_empty(value) and not _is_body(key, value):
                rest.setdefault(str(key), []).append(value)
    # "error" as a type says nothing beside the label.
    parts = [part for part in dict.fromkeys([*kinds, *messages]) if part and part != "error"]
    text = ": ".join(parts)
    if not rest:
        return text or compact_json(error)
    told = {key: values[0] if len(values) == 1 else values for key, values in rest.items()}
    return f"{text} {compact_json(told)}".lstrip()


def _bodies(error: dict[str, object], depth: int) -> Iterator[dict[str, object]]:
    """The error, and the error inside it, as gateways wrap those of providers."""
    yield error
    for key, value in error.items():
        if _is_body(key, value) and isinstance(value, dict) and depth < _MAX_DEPTH:
            yield from _bodies(value, depth + 1)


def _is_body(key: object, value: object) -> bool:
    return key in _MESSAGE_KEYS and isinstance(value, dict)


def _object_in(text: str) -> dict[str, object] | None:
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        return None
    try:
        parsed = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
