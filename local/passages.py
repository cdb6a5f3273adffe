"""A rendered trace read back into passages: who said what, on which lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

_NUMBERED = re.compile(r"(\d+) (.*)")
_EVENT = re.compile(r"#(\d+) (\S+) ?(.*?)(?: \(([^()]*(?:\([^()]*\)[^()]*)*)\))?")
_TRACE = re.compile(r"trace (.*) \(([^()]*)\)")
_LABELLED = re.compile(r"((?:trace )?(?:input|output)\b)?\s?([^:]{0,160}?):(?: (.*))?")
_POINTER = re.compile(r"\[same as L(\d+)(?:-\d+)?\]")
_HISTORY = re.compile(r"[^:]{0,20}\[\d+ messages as in L\d+(?:-\d+)?\]")


class Kind(StrEnum):
    """What a passage is."""

    USER = "user"
    ASSISTANT = "assistant"
    THINKING = "thinking"
    CALL = "call"
    TOOL = "tool"
    ERROR = "error"
    SYSTEM = "system"
    TOOLS = "tools"
    INPUT = "input"
    OUTPUT = "output"
    STOPPED = "stopped"
    OTHER = "other"


@dataclass(frozen=True)
class Passage:
    """One labelled content. `lines` are its lines with their numbers; a pointer has those that it points at.

    `name` is the tool's for tool results, else the label. `fresh`: it came out of its event, or is the trace's own;
    the rest was handed in.
    """

    kind: Kind
    name: str
    lines: tuple[tuple[int, str], ...]
    fresh: bool
    repeated: bool
    line: int  # its own, also when it points at others

    @property
    def text(self) -> str:
        """The content."""
        return "\n".join(line for _, line in self.lines)

    @property
    def first_line(self) -> int:
        """Where the content begins."""
        return self.lines[0][0]


@dataclass
class Event:
    """One event of the trace; number 0 is the trace itself."""

    number: int
    kind: str
    name: str
    facts: tuple[str, ...]
    line: int
    passages: list[Passage] = field(default_factory=list)

    @property
    def parent(self) -> int:
        """Number of the event that it is a part of; 0 for the trace."""
        return next((int(fact.removeprefix("in #")) for fact in self.facts if fact.startswith("in #")), 0)

    def first(self, *kinds: Kind) -> Passage | None:
        """The first passage of one of the kinds."""
        return next((passage for passage in self.passages if passage.kind in kinds), None)


def read_events(text: str) -> list[Event]:
    """The events of a rendered trace in order, the trace itself first. Lines in no known form are passed over."""
    events = [Event(0, "trace", "", (), 1)]
    passage_by_line: dict[int, Passage] = {}
    for block in _blocks(text):
        number, head = block[0]
        trace, event = _TRACE.fullmatch(head), _EVENT.fullmatch(head)
        if trace is not None and number == 1:
            events[0].name, events[0].facts = trace[1], _facts(trace[2])
        elif event is not None:
            events.append(Event(int(event[1]), event[2], event[3], _facts(event[4]), number))
        else:
            passage = _passage(block, passage_by_line)
            if passage is not None:
                passage_by_line[number] = passage
                # The trace's own output stands after its last event.
                owner = events[0] if head.startswith("trace ") else events[-1]
                owner.passages.append(passage)
    return events


def _blocks(text: str) -> Iterator[list[tuple[int, str]]]:
    """Entries, each with the content lines that continue it; a line without a number has that of the line above."""
    block: list[tuple[int, str]] = []
    for raw in text.split("\n"):
        match = _NUMBERED.fullmatch(raw)
        if match is None:
            if raw.startswith(" ") and block:
                block.append((block[-1][0], raw[1:]))
            continue
        number, line = int(match[1]), match[2]
        if line.startswith(" ") and block:
            block.append((number, line[1:]))
            continue
        if block:
            yield block
        block = [(number, line)]
    if block:
        yield block


def _passage(block: list[tuple[int, str]], known: dict[int, Passage]) -> Passage | None:
    number, head = block[0]
    if _HISTORY.fullmatch(head):
        return None
    match = _LABELLED.match(head)
    if match is None:
        return None
    place, label, first = match[1] or "", match[2].strip(), match[3] or ""
    kind, name = _kind_of(label, place)
    pointer = _POINTER.fullmatch(first) if len(block) == 1 else None
    target = known.get(int(pointer[1])) if pointer else None
    lines = target.lines if target else ((number, first), *block[1:])
    fresh = place.endswith("output") or place.startswith("trace") or kind is Kind.ERROR
    return Passage(kind, name, lines, fresh, repeated=target is not None, line=number)


def _kind_of(label: str, place: str) -> tuple[Kind, str]:
    if label.endswith((" details", " annotations")):
        return Kind.OTHER, label
    if label == "":
        return (Kind.OUTPUT if place.endswith("output") else Kind.INPUT), ""
    if label in ("error", "trace error"):
        return Kind.ERROR, ""
    if label.startswith("tool "):
        name = label.removeprefix("tool ")
        return (Kind.ERROR, name.removesuffix(" error")) if name.endswith(" error") else (Kind.TOOL, name)
    for ending, kind in ((" calls", Kind.CALL), (" thinking", Kind.THINKING), (" stopped", Kind.STOPPED)):
        if label.endswith(ending):
            return kind, label
    roles = {"user": Kind.USER, "assistant": Kind.ASSISTANT, "system": Kind.SYSTEM, "tools": Kind.TOOLS}
    return roles.get(label.partition(" ")[0], Kind.OTHER), label


def _facts(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()
