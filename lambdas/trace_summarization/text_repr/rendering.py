"""A trace's events as numbered lines.

Structure stands at the margin, content after a label or, from its second line on, behind one space; so content can
never pass for structure:

    L1: trace checkout (3 events, 2.1 s)
    L2: trace input: Where is my order?
    L3: #1 generation gpt-4.1-mini (1.2 s, 320 -> 18 tokens)
    L4: system: You are a shop's assistant.
    L5:  Be brief.
    L6: user: Where is my order?
    L7: output assistant calls: find_order(id="7")
    L8: #2 span find_order (0.1 s, error)
    L9: error: no such order

Blank lines are left out. What stands in the trace already is named by its lines instead of being repeated.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from trace_summarization.models import TraceEvent
from trace_summarization.text_repr.entries import Conversation, name_of
from trace_summarization.text_repr.events import EventRenderer, trace_facts
from trace_summarization.text_repr.lines import LineWriter
from trace_summarization.text_repr.tree import reading_order

TRACE_EVENT = "$ai_trace"


@dataclass(frozen=True)
class TextRepr:
    """A rendered trace. Lines count from 1; `first_lines[i]` is where the part of `event_uuids[i]` begins."""

    text: str
    line_count: int
    first_lines: tuple[int, ...]
    event_uuids: tuple[str, ...]

    @cached_property
    def lines(self) -> Mapping[int, str]:
        """Content of each line that is shown, by its number and without it."""
        numbered = (line.partition(": ") for line in self.text.split("\n"))
        return {int(number.removeprefix("L")): content for number, _, content in numbered}

    def event_of_line(self, line: int) -> str | None:
        """The uuid of the event that a line comes from; None outside the text and for a heading without an event."""
        if not 1 <= line <= self.line_count:
            return None
        return self.event_uuids[bisect_right(self.first_lines, line) - 1] or None


def render_trace(trace_id: str, events: Sequence[TraceEvent]) -> TextRepr:
    """Render a trace: a heading, its events in reading order, its output. Deterministic; raises on no JSON value."""
    heading = min((event for event in events if event.event == TRACE_EVENT), key=_earliest, default=None)
    nodes = reading_order(trace_id, [event for event in events if event is not heading])
    writer = LineWriter()
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
    return TextRepr(writer.text(), writer.line_count, *writer.parts())


def _earliest(event: TraceEvent) -> tuple[float, str]:
    return (event.timestamp.timestamp(), event.uuid)
