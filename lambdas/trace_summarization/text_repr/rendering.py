"""A trace's events as numbered lines.

Structure stands behind a number and one space; content after a label or, from its second line on, behind one space
more. So content can never pass for structure:

    1 trace checkout (3 events, 2.1 s)
    2 trace input: Where is my order?
    3 #1 generation gpt-4.1-mini (1.2 s, 320 -> 18 tokens)
    4 system: You are a shop's assistant.
     Be brief.
    5  (after every 200 characters or so, a further line of the text has a number of its own)
    6 user: Where is my order?
    7 output assistant calls: find_order(id="7")
    8 #2 span find_order (0.1 s, error)
    9 error: no such order

A line is cited as `L4`; lines without a number belong to the number above them. Blank lines are left out. What stands
in the trace already is named by its lines instead of being repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from trace_summarization.models import TraceEvent
from trace_summarization.text_repr.entries import Conversation, name_of
from trace_summarization.text_repr.events import EventRenderer, trace_facts
from trace_summarization.text_repr.lines import Line, LineWriter
from trace_summarization.text_repr.tree import reading_order

TRACE_EVENT = "$ai_trace"


@dataclass(frozen=True)
class TextRepr:
    """A rendered trace, whole or shortened.

    `parts` are its lines in order. Numbers count from 1 to `line_count` in the whole text, and stay when it is cut.
    """

    parts: tuple[Line, ...]
    line_count: int
    event_uuids: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        """What the model reads."""
        return "\n".join([line.written() for line in self.parts])

    @cached_property
    def lines(self) -> Mapping[int, str]:
        """Content of each line that is shown, by number: without the number, its physical lines parted by newlines."""
        return {line.number: line.text for line in self.parts if line.number}

    @cached_property
    def pointers(self) -> Mapping[int, Sequence[tuple[int, int]]]:
        """First and last lines of what lines stand for instead of repeating it, by the pointing line's number."""
        return {line.number: line.refers for line in self.parts if line.number and line.refers}

    def event_of_line(self, number: int) -> str | None:
        """The uuid of the event that a line comes from; None when it is not shown or has no event."""
        return self._uuid_by_number.get(number) or None

    @cached_property
    def _uuid_by_number(self) -> Mapping[int, str]:
        return {line.number: self.event_uuids[line.event] for line in self.parts if line.number}


def render_trace(trace_id: str, events: Sequence[TraceEvent], redact: Callable[[str], str] | None = None) -> TextRepr:
    """Render a trace: a heading, its events in reading order, its output. Deterministic; raises on no JSON value.

    `redact` is given every text before it is written.
    """
    heading = min((event for event in events if event.event == TRACE_EVENT), key=_earliest, default=None)
    nodes = reading_order(trace_id, [event for event in events if event is not heading])
    writer = LineWriter(redact)
    renderer = EventRenderer(writer, Conversation())
    properties: Mapping[str, object] = heading.properties if heading else {}
    heading_uuid = heading.uuid if heading else ""
    writer.begin(heading_uuid)
    name = name_of(properties.get("$ai_span_name") or properties.get("$ai_trace_name")) or name_of(trace_id)
    writer.structure(f"trace {name} ({trace_facts(properties, [node.event for node in nodes])})")
    renderer.trace_start(properties)
    for node in nodes:
        writer.begin(node.event.uuid)
        renderer.event(node)
    writer.begin(heading_uuid)
    renderer.trace_end(properties)
    return TextRepr(tuple(writer.lines), writer.line_count, tuple(writer.event_uuids))


def _earliest(event: TraceEvent) -> tuple[float, str]:
    return (event.timestamp.timestamp(), event.uuid)
