"""Values that were logged as strings: JSON (once or twice), JSON lines, Python literals, server-sent events."""

import ast
import json

_LONGEST_LITERAL = 500_000  # characters; Python's parser is some fifty times slower than JSON's
_DEEPEST_LITERAL = 60  # open brackets; Python's parser has limits of its own, some of which end the process
_MOST_ENCODINGS = 3  # JSON in JSON in JSON
_OPENINGS = ("{", "[")


def decoded(text: str) -> object:
    """The list or object that a string holds; None when the string is just a string. Never raises."""
    for _ in range(_MOST_ENCODINGS):
        text = text.strip()
        if text.startswith(_OPENINGS) and text.endswith(("}", "]")):
            return _structure(text)
        if text.startswith(("data:", "event:", "id:", ": ")) and "data:" in text[:1_000]:
            return _server_sent(text)
        if not (text.startswith('"') and text.endswith('"') and text[1:3].lstrip()[:1] in ("{", "[", "\\")):
            return None
        inner = _json(text)
        if not isinstance(inner, str):
            return None
        text = inner
    return None


def _structure(text: str) -> object:
    if text[1:].lstrip()[:1] in ("", "}", "]"):
        return None  # nothing inside, or a bracket in prose
    parsed = _json(text)
    if parsed is None and "}\n{" in text:
        parsed = _lines([line for line in text.split("\n") if line.strip()])
    if parsed is None and "'" in text[:200]:
        parsed = _literal(text)
    return parsed if isinstance(parsed, dict | list) else None


def _server_sent(text: str) -> object:
    payloads = [line[5:].strip() for line in text.replace("\r\n", "\n").split("\n") if line.startswith("data:")]
    return _lines([payload for payload in payloads if payload and payload != "[DONE]"])


def _lines(lines: list[str]) -> object:
    if not lines or not all(line.lstrip().startswith(_OPENINGS) for line in lines):
        return None
    parsed = [_json(line) for line in lines]
    return None if any(item is None for item in parsed) else parsed


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _literal(text: str) -> object:
    if len(text) > _LONGEST_LITERAL or _depth(text) > _DEEPEST_LITERAL or "----" in text or "~~" in text:
        return None
    try:
        return _plain(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _depth(text: str) -> int:
    """How many brackets are open at most; those inside strings count too, which errs on the safe side."""
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth -= 1
    return deepest


def _plain(value: object) -> object:
    """A literal as JSON would hold it: tuples and sets as lists, bytes as their size."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(member) for member in value]
    if isinstance(value, bytes):
        return f"[binary, {len(value):,} B]"
    return value if isinstance(value, str | int | float | None) else str(value)
