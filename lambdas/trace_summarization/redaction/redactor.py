"""Placeholders in the places of what the finders found."""

import re
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes 10 ms to load
    from trace_summarization.redaction.spans import Kind, Span

_MAX_PASSES = 6  # what is taken out can uncover what stood right beside it
_HIDDEN = "[secret]"
_BEFORE_JSON_VALUE = re.compile(r"(\\*)\"\s{0,8}:\s{0,8}$")
_SCHEME_BEFORE_HIDDEN = re.compile(r"\b(?:bearer|basic) +(?=\[secret\])", re.IGNORECASE)


class Redactor:
    """Stable placeholders within one trace: the same value is `[email-1]` wherever it stands.

    Placeholders: `[secret-1]`, `[password-1]`, `[private-key-1]`, `[card-1]`, `[email-1]`, `[phone-1]`, in the order
    of appearance. What surrounds a value stays as it is; a number that was a JSON value becomes a JSON string.
    """

    def __init__(self) -> None:
        self._placeholders: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def redact(self, text: str) -> str:
        """The text with placeholders; any string is accepted, and redacting twice changes nothing."""
        for _ in range(_MAX_PASSES):
            redacted = self._redact_once(text)
            if redacted == text:
                break
            text = redacted
        return text

    def _redact_once(self, text: str) -> str:
        pieces: list[str] = []
        at = 0
        for span in _finders().everything(text):
            placeholder = self._placeholder(text[span.start : span.end], span.kind)
            quote = _json_quote(text, span)
            pieces += [text[at : span.start], quote, placeholder, quote]
            at = span.end
        if not pieces:
            return text
        pieces.append(text[at:])
        return "".join(pieces)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many distinct values of each kind were replaced so far."""
        return dict(self._counts)

    def _placeholder(self, value: str, kind: "Kind") -> str:
        key = _identity(value, kind)
        if key not in self._placeholders:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._placeholders[key] = f"[{kind}-{self._counts[kind]}]"
        return self._placeholders[key]


def hide_secrets(text: str) -> str:
    """The text with `[secret]` for each secret, password and private key.

    For text that a model wrote: what merely looks like a secret is hidden too, as nothing is lost by it.
    """
    for _ in range(_MAX_PASSES):
        hidden = _hide_once(text)
        if hidden == text:
            break
        text = hidden
    return text


def _hide_once(text: str) -> str:
    pieces: list[str] = []
    at = 0
    for span in _finders().secrets(text, wary=True):
        pieces += [text[at : span.start], _HIDDEN]
        at = span.end
    if not pieces:
        return text
    return _SCHEME_BEFORE_HIDDEN.sub("", "".join([*pieces, text[at:]]))


def _finders() -> ModuleType:
    """Loaded by the first text: their patterns take longer to compile than a function may take to start."""
    return import_module("trace_summarization.redaction.finders")


def _identity(value: str, kind: "Kind") -> str:
    """What makes two values the same one: not the case of an address, nor how a number is grouped."""
    if kind == "email":
        return value.lower()
    if kind in ("card", "phone"):
        return "".join(char for char in value if char.isdigit() or char == "+")
    return value


def _json_quote(text: str, span: "Span") -> str:
    """The quotes that a placeholder needs to be a JSON value where a bare number was one; else none."""
    if not text[span.start].isdigit() or text[span.end : span.end + 1] in ('"', "\\"):
        return ""
    before = _BEFORE_JSON_VALUE.search(text, max(0, span.start - 24), span.start)
    return f'{before.group(1)}"' if before and text[span.start : span.end].isdigit() else ""
