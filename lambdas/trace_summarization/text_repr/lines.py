"""Numbered lines, in which nothing long is said twice."""

import itertools
from collections.abc import Sequence

from trace_summarization.text_repr.entries import Message
from trace_summarization.text_repr.plain_text import clean_text, one_line

MAX_CONTENT_LENGTH = 10_000  # characters of one content; the rest is cut from its middle
_KEPT_HEAD = 7_000
_KEPT_TAIL = 3_000
_SHORTEST_REPEAT = 100  # characters; a pointer to anything shorter saves nothing
_LONGEST_LABEL = 120


class LineWriter:
    """Collects the lines of one trace and remembers where each content stands."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._first_lines: list[int] = []
        self._event_uuids: list[str] = []
        self._lines_of_text: dict[str, tuple[int, int]] = {}
        self._lines_of_message: dict[Message, tuple[int, int]] = {}

    @property
    def line_count(self) -> int:
        """Lines so far."""
        return len(self._lines)

    def text(self) -> str:
        """All lines, numbered from 1."""
        return "\n".join(f"L{number}: {line}" for number, line in enumerate(self._lines, start=1))

    def parts(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Where each part begins, and the uuid of the event it belongs to."""
        return tuple(self._first_lines), tuple(self._event_uuids)

    def begin(self, event_uuid: str) -> None:
        """The following lines come from this event."""
        if self._first_lines and self._first_lines[-1] == self.line_count + 1:
            self._first_lines.pop()
            self._event_uuids.pop()
        self._first_lines.append(self.line_count + 1)
        self._event_uuids.append(event_uuid)

    def structure(self, line: str) -> None:
        """A line of the layout, already clean."""
        self._lines.append(line)

    def entry(self, label: str, text: str, cut: bool = True) -> None:
        """Labelled content: the first line beside the label, the others behind one space."""
        label = one_line(label, _LONGEST_LABEL)
        seen = self._lines_of_text.get(text)
        if seen is not None:
            self._lines.append(f"{label}: [same as {line_range(*seen)}]")
            return
        lines = _content_lines(text, cut)
        first = self.line_count + 1
        self._lines.append(f"{label}: {lines[0]}" if lines else f"{label}:")
        self._lines.extend(f" {line}" for line in lines[1:])
        if len(text) >= _SHORTEST_REPEAT:
            self._lines_of_text[text] = (first, self.line_count)

    def messages(self, messages: Sequence[Message], prefix: str) -> None:
        """Messages in order; a run of two or more that stand in the trace already becomes one line."""
        position = 0
        while position < len(messages):
            run = self._known_run(messages, position)
            if run:
                span = line_range(min(first for first, _ in run), max(last for _, last in run))
                self.structure(f"{prefix}[{len(run)} messages as in {span}]")
            else:
                self._message(messages[position], prefix)
            position += max(len(run), 1)

    def _known_run(self, messages: Sequence[Message], start: int) -> list[tuple[int, int]]:
        """Lines of the known messages from `start` on; empty for less than two of them."""
        run = []
        # The last message is what is new in this call, even when it says the same as an earlier one.
        for message in itertools.islice(messages, start, len(messages) - 1):
            lines = self._lines_of_message.get(_comparable(message))
            if lines is None:
                break
            run.append(lines)
        return run if len(run) > 1 else []

    def _message(self, message: Message, prefix: str) -> None:
        first = self.line_count + 1
        for label, text, _ in message:
            self.entry(f"{prefix}{label}".strip(), text)
        if self.line_count >= first:
            self._lines_of_message.setdefault(_comparable(message), (first, self.line_count))


def line_range(first: int, last: int) -> str:
    """`L10` or `L1-5`: how lines are cited."""
    return f"L{first}" if first == last else f"L{first}-{last}"


def _comparable(message: Message) -> Message:
    # Thinking is recorded with an answer, yet left out when the answer comes back as history.
    return tuple(entry for entry in message if not entry.thinking) or message


def _content_lines(text: str, cut: bool) -> list[str]:
    cleaned = clean_text(text)
    if cut and len(cleaned) > MAX_CONTENT_LENGTH:
        gone = len(cleaned) - _KEPT_HEAD - _KEPT_TAIL
        cleaned = f"{cleaned[:_KEPT_HEAD]}\n[... {gone:,} characters left out ...]\n{cleaned[-_KEPT_TAIL:]}"
    return [line for line in cleaned.split("\n") if line.strip()]
