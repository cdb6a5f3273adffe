"""Faults that the offline model server can be told to have, for tests of what happens then."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

AnyKind = Literal["nothing", "reset", "delay"]
ChatKind = Literal["invalid_json", "wrong_schema", "refusal", "length", "content_filter", "code_fence"]
EmbeddingsKind = Literal["wrong_dimensions", "nan", "zeros", "shuffled", "missing_one", "duplicate_index"]
RequestKind = Literal["chat", "embeddings"]
_KINDS_OF: Final[Mapping[RequestKind, tuple[str, ...]]] = {
    "chat": (*get_args(AnyKind), *get_args(ChatKind)),
    "embeddings": (*get_args(AnyKind), *get_args(EmbeddingsKind)),
}
KINDS: Final[tuple[str, ...]] = (*get_args(AnyKind), *get_args(ChatKind), *get_args(EmbeddingsKind))


class InvalidFault(ValueError):
    """A fault that is not one; the message names the field and what is allowed."""


@dataclass
class Fault:
    """One fault. It applies, `times` times, to requests with `match` in the user message or an input (any, when None).

    A status and the kinds `nothing`, `reset` and `delay` apply to chat and embeddings alike (`sent` tells them apart:
    only one has `messages`, only the other `input`), all other kinds to one of them; `wrong_dimensions`, `nan` and
    `zeros` to the vectors of those inputs alone that contain `match`.

    With `sent` it applies only to requests that send these parameters: dotted paths (`response_format.type`,
    `messages.0.role`) to their values, null for any value. So a dialect can be scripted: an endpoint that knows no
    strict schema is a fault without `times` that answers what that endpoint answers. With a `share` below 1 it hits
    so many of these requests, by chance. Either `status` (with `headers` and `body`) or `kind` says what happens;
    `seconds` passes before.
    """

    match: str | None = None
    sent: Mapping[str, Any] = field(default_factory=dict)
    times: int | None = None
    share: float = 1.0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    kind: str | None = None
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self.kind or f"status {self.status}"


class FaultScript:
    """The faults to come, in order. Each request takes the first that applies to it. Safe for threads."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._lottery = random.Random(0)  # noqa: S311 - the same faults in every run

    def replace(self, script: object) -> None:
        """Set the faults from their JSON form. Raises InvalidFault and keeps the earlier ones."""
        if not isinstance(script, list):
            raise InvalidFault(f"faults: {type(script).__name__}; allowed is a list of objects")
        faults = [_fault(position, item) for position, item in enumerate(script)]
        with self._lock:
            self._faults = faults

    def clear(self) -> None:
        """Have no faults."""
        self.replace([])

    def take(self, of: RequestKind, texts: Sequence[str], parameters: Mapping[str, Any]) -> Fault | None:
        """The fault that a request with these texts runs into, used up by one."""
        with self._lock:
            for fault in self._faults:
                applies = fault.kind is None or fault.kind in _KINDS_OF[of]
                applies = applies and (fault.match is None or any(fault.match in text for text in texts))
                applies = applies and all(_sends(parameters, path, value) for path, value in fault.sent.items())
                applies = applies and (fault.times is None or fault.times > 0)
                if applies and (fault.share >= 1 or self._lottery.random() < fault.share):
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None


def _sends(parameters: Any, path: str, value: Any) -> bool:
    found = parameters
    for name in path.split("."):
        if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, Mapping) and name in found:
            found = found[name]
        else:
            return False
    return value is None or found == value


def _fault(position: int, item: object) -> Fault:
    place = f"faults[{position}]"
    if not isinstance(item, dict):
        raise InvalidFault(f"{place}: {item!r}; allowed is an object")
    allowed = set(Fault.__dataclass_fields__)
    if unknown := sorted(set(item) - allowed):
        raise InvalidFault(f"{place}: unknown field {unknown[0]!r}; allowed are {', '.join(sorted(allowed))}")
    fault = Fault(**item)
    if (fault.status is None) == (fault.kind is None):
        raise InvalidFault(f"{place}: needs either status or kind")
    checks = (
        ("match", fault.match is None or isinstance(fault.match, str), "a string or null"),
        ("times", fault.times is None or _is_number(fault.times, int), "an integer of at least 0, or null"),
        ("status", fault.status is None or (_is_number(fault.status, int) and 200 <= fault.status < 600), "200 to 599"),
        ("kind", fault.kind is None or fault.kind in KINDS, f"one of {', '.join(KINDS)}"),
        ("sent", isinstance(fault.sent, dict), "an object of parameters' paths and values"),
        ("headers", isinstance(fault.headers, dict), "an object of strings"),
        ("share", _is_number(fault.share, int | float) and fault.share <= 1, "a number from 0 to 1"),
        ("seconds", _is_number(fault.seconds, int | float), "a number of at least 0"),
    )
    for name, is_allowed, what in checks:
        if not is_allowed:
            raise InvalidFault(f"{place}.{name}: {getattr(fault, name)!r}; allowed is {what}")
    return fault


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and value >= 0
