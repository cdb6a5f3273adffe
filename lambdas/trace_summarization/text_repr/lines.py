"""Numbered lines, in which nothing long is said twice."""

import itertools
import json
import operator
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from trace_summarization.text_repr.entries import Message
from trace_summarization.text_repr.known_messages import KnownMessages, Lines
from trace_summarization.text_repr.plain_text import clean_text, one_line
from trace_summarization.text_repr.repeats import SeenPieces, pieces_of

_CHARACTERS_PER_NUMBER = 200  # a text's further lines share a number until they have so many characters
_SHORTEST_REPEAT = 32  # characters; a pointer to anything shorter saves nothing
_SHORTEST_SEARCHED = 120  # characters; shorter texts are compared as a whole only
_FEWEST_EQUAL_LINES = 2
_FEWEST_KNOWN = 2  # messages in a row that become one line
_LONGEST_LABEL = 120
_LONGEST_COMPARED_JSON = 200_000  # characters
_NEAR = 10  # lines
_MOST_RANGES = 4


class Kind(StrEnum):
    """What a line says: how much it is worth when a trace has to be shortened."""

    HEADING = "heading"
    ERROR = "error"
    FAILED_TOOL = "failed tool"
    USER = "user"
    ASSISTANT = "assistant"
    CALL = "call"
    TOOL = "tool"
    SYSTEM = "system"
    CATALOGUE = "catalogue"
    THINKING = "thinking"
    POINTER = "pointer"
    OTHER = "other"
    GAP = "gap"


class Line(NamedTuple):
    """What has one number: the first line of an entry, or some of its further lines (parted by newlines).

    A gap has number 0: it says what was left out and cannot be cited. `refers`: first and last lines of what a pointer
    stands for, or of what a gap leaves out.
    """

    number: int
    is_entry: bool
    text: str
    kind: Kind
    event: int
    refers: tuple[Lines, ...] = ()

    def written(self) -> str:
        """As the model sees it. What is not the layout's own stands behind at least one space more."""
        if self.number == 0:
            return self.text
        text = self.text.replace("\n", "\n ") if "\n" in self.text else self.text
        return f"{self.number} {text}" if self.is_entry else f"{self.number}  {text}"


class LineWriter:
    """Collects the lines of one trace and remembers where each content stands.

    `redact` sees every text before it is written, labels and headings included.
    """

    def __init__(self, redact: Callable[[str], str] | None = None) -> None:
        self.lines: list[Line] = []
        self.event_uuids: list[str] = []
        self._redact = redact or _unchanged
        self._labels: dict[str, tuple[str, Kind]] = {}
        self._seen = SeenPieces()
        self._lines_of_text: dict[str, tuple[int, int]] = {}
        self._known_messages = KnownMessages()

    @property
    def line_count(self) -> int:
        """Numbers given so far."""
        return len(self.lines)

    def begin(self, event_uuid: str) -> None:
        """The following lines come from this event."""
        self.event_uuids.append(event_uuid)

    def structure(self, line: str, kind: Kind = Kind.HEADING, refers: Sequence[Lines] = ()) -> None:
        """A line of the layout, already clean; a pointer says what it `refers` to."""
        self._add(self._redact(line), kind, is_entry=True, refers=refers)

    def entry(self, label: str, text: str) -> None:
        """Labelled content: the first line beside the label, the others below it."""
        label, kind = self._labels.get(label) or self._label(label)
        seen = self._lines_of_text.get(text)
        canonical = None
        if seen is None and text[:1] in ("{", "["):
            canonical = canonical_json(text)
            seen = self._lines_of_text.get(canonical) if canonical is not None else None
        if seen is not None:
            self._keep_whole(kind, range(seen[0], seen[1] + 1))
            self._add(f"{label}: [same as {line_range(*seen)}]", Kind.POINTER, is_entry=True, refers=[seen])
            return
        first = len(self.lines) + 1
        cleaned = self._redact(clean_text(text))
        if len(cleaned) < _SHORTEST_SEARCHED and "\n" not in cleaned:
            self._seen.add_line(cleaned, first)
            self._add(f"{label}: {cleaned.rstrip()}" if cleaned.strip() else f"{label}:", kind, is_entry=True)
        else:
            self._write(label, _lines_of(cleaned), kind)
        if len(text) >= _SHORTEST_REPEAT:
            self._lines_of_text[text] = (first, self.line_count)
            if canonical is not None:
                self._lines_of_text[canonical] = (first, self.line_count)

    def known(self, text: str) -> Lines | None:
        """First and last line that a text stands on; None when it is new, or too short for a pointer."""
        return self._lines_of_text.get(text)

    def messages(self, messages: Sequence[Message], prefix: str) -> None:
        """Messages in order; a run of two or more that stand in the trace already becomes one line."""
        position = 0
        while position < len(messages):
            run = self._known_run(messages, position)
            if run:
                self.structure(f"{prefix}[{len(run)} messages as in {line_ranges(run)}]", Kind.POINTER, run)
            else:
                self._message(messages[position], prefix)
            position += max(len(run), 1)

    def _keep_whole(self, kind: Kind, numbers: Iterable[int]) -> None:
        """What an error says again is as good as the error."""
        if kind is Kind.ERROR:
            for number in numbers:
                self.lines[number - 1] = self.lines[number - 1]._replace(kind=Kind.ERROR)

    def _label(self, label: str) -> tuple[str, Kind]:
        clean = self._redact(one_line(label, _LONGEST_LABEL))
        known = self._labels[label] = (clean, kind_of(clean))
        return known

    def _add(self, text: str, kind: Kind, is_entry: bool, refers: Sequence[Lines] = ()) -> None:
        number = len(self.lines) + 1
        self.lines.append(Line(number, is_entry, text, kind, len(self.event_uuids) - 1, tuple(refers)))

    def _write(self, label: str, lines: list[str], kind: Kind) -> None:
        pieces = pieces_of(lines)
        if len(pieces.texts) == 1 and self._seen.is_new(pieces):
            self._add(f"{label}: {lines[0]}", kind, is_entry=True)
            self._seen.add(pieces, [self.line_count])
            return
        writer = _EntryWriter(self, f"{label}:", kind)
        numbers: list[int] = []
        if sum(map(len, lines)) < _SHORTEST_SEARCHED:
            numbers = writer.write(pieces.texts, pieces.ends_line)
        else:
            for start, end, known in self._seen.runs(pieces):
                if known is None:
                    numbers += writer.write(pieces.texts[start:end], pieces.ends_line[start:end])
                else:
                    refers = [(number, number) for number in dict.fromkeys(known)]
                    writer.write([f"[as in {line_ranges(refers)}]"], [pieces.ends_line[end - 1]])
                    writer.refers += refers
                    self._keep_whole(kind, known)
                    numbers += known
        writer.end()
        # Noted only now: a text is not searched for in itself.
        self._seen.add(pieces, numbers)

    def _known_run(self, messages: Sequence[Message], start: int) -> list[tuple[int, int]]:
        """Lines of the known messages from `start` on; empty for less than two of them."""
        if len(messages) - start <= _FEWEST_KNOWN:
            return []
        # The last message is what is new in this call, even when it says the same as an earlier one.
        run = self._known_messages.run(itertools.islice(messages, start, len(messages) - 1))
        return run if len(run) >= _FEWEST_KNOWN else []

    def _message(self, message: Message, prefix: str) -> None:
        first = self.line_count + 1
        for label, text, _ in message:
            self.entry(f"{prefix}{label}".strip(), text)
        if self.line_count >= first:
            self._known_messages.note(message, (first, self.line_count))


class _EntryWriter:
    """Puts the pieces of one entry into lines, and gives out their numbers."""

    def __init__(self, writer: LineWriter, head: str, kind: Kind) -> None:
        self._writer = writer
        self._kind = kind
        self.refers: list[Lines] = []  # of the pointers on the line at hand
        self._is_entry = True
        self._lines: list[str] = []
        self._open: list[str] = [head, " "]
        self._characters = 0

    def write(self, texts: Sequence[str], ends_line: Sequence[bool]) -> list[int]:
        """Append pieces. Returns the numbers of the lines that they are on."""
        number = self._writer.line_count + 1
        numbers: list[int] = []
        for text, ends in zip(texts, ends_line, strict=True):
            if self._characters >= _CHARACTERS_PER_NUMBER and not self._open:
                self._flush()
                number += 1
            self._characters += len(text)
            numbers.append(number)
            if self._open or not ends:
                self._open.append(text)
                if ends:
                    self._lines.append("".join(self._open))
                    self._open = []
            else:
                self._lines.append(text)
        return numbers

    def end(self) -> None:
        """No more pieces."""
        if self._open:
            self._lines.append("".join(self._open).rstrip())
            self._open = []
        if self._lines:
            self._flush()

    def _flush(self) -> None:
        self._writer._add("\n".join(self._lines), self._kind, self._is_entry, self.refers)
        self._lines = []
        self.refers = []
        self._characters = 0
        self._is_entry = False


def line_range(first: int, last: int) -> str:
    """`L10` or `L1-5`: how lines are cited."""
    return f"L{first}" if first == last else f"L{first}-{last}"


def line_ranges(lines: Iterable[Lines]) -> str:
    """`L3, L76-81`: where several texts stand, in few ranges; lines between them that are near are not told apart."""
    merged: list[list[int]] = []
    for first, last in sorted(lines):
        if merged and first - merged[-1][1] <= _NEAR:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    if len(merged) > _MOST_RANGES:
        merged = [[merged[0][0], merged[-1][1]]]
    return ", ".join(line_range(first, last) for first, last in merged)


def canonical_json(text: str) -> str | None:
    """What is equal for one JSON value however it was written: in other white space, escapes, or order of keys."""
    if not _SHORTEST_REPEAT <= len(text) <= _LONGEST_COMPARED_JSON:
        return None
    try:
        return "json " + json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError, TypeError):
        return None


def kind_of(label: str) -> Kind:
    """What an entry with this label says."""
    if label in ("error", "trace error"):
        return Kind.ERROR
    if label.startswith(("input ", "output ", "trace input ", "trace output ")):
        label = label.removeprefix("trace ").removeprefix("input ").removeprefix("output ")
    if label.endswith(" calls"):
        return Kind.CALL
    if label.endswith(" thinking"):
        return Kind.THINKING
    for start, kind in _KIND_BY_START:
        if label.startswith(start):
            return Kind.FAILED_TOOL if kind is Kind.TOOL and label.endswith(" error") else kind
    return Kind.OTHER


_KIND_BY_START = (
    ("user", Kind.USER),
    ("trace input", Kind.USER),
    ("trace output", Kind.ASSISTANT),
    ("assistant", Kind.ASSISTANT),
    ("tools", Kind.CATALOGUE),
    ("tool", Kind.TOOL),
    ("input", Kind.TOOL),
    ("output", Kind.TOOL),
    ("system", Kind.SYSTEM),
    ("developer", Kind.SYSTEM),
    ("feedback", Kind.USER),
)


def _lines_of(text: str) -> list[str]:
    """The lines that say something; of equal lines in a row the first, and how many there are."""
    physical = list(map(str.rstrip, text.split("\n")))
    said = list(filter(None, physical))
    if not any(map(operator.eq, said, itertools.islice(said, 1, None))):
        return said
    lines: list[str] = []
    for line, group in itertools.groupby(physical):
        if line:
            count = sum(1 for _ in group)
            lines.append(line)
            if count * len(line) > _SHORTEST_REPEAT and count > _FEWEST_EQUAL_LINES:
                lines.append(f"[the same line {count - 1} times more]")
            else:
                lines += [line] * (count - 1)
    return lines


def _unchanged(text: str) -> str:
    return text
