"""Small traces for the tests of the text representation."""

from datetime import UTC, datetime, timedelta
from typing import Any

from trace_summarization.models import TraceEvent
from trace_summarization.text_repr import render_trace

START = datetime(2025, 1, 15, 12, 0, tzinfo=UTC)


def event(kind: str, seconds: float = 0.0, uuid: str = "", **properties: Any) -> TraceEvent:
    """An event `seconds` after the start; `input=...` stands for `$ai_input`."""
    named = {f"$ai_{name}": value for name, value in properties.items()}
    return TraceEvent(uuid or f"{kind}-{seconds}", f"$ai_{kind}", START + timedelta(seconds=seconds), named)


def generation(seconds: float = 0.0, **properties: Any) -> TraceEvent:
    """A generation that ends `seconds` after the start."""
    return event("generation", seconds, **properties)


def lines_of(*events: TraceEvent, trace_id: str = "t1") -> list[str]:
    """The physical lines of the rendered trace without their numbers, after checking these."""
    numbers = []
    plain = []
    for line in render_trace(trace_id, events).text.split("\n"):
        number, _, rest = line.partition(" ")
        if number:
            numbers.append(int(number))
        plain.append(rest if number else line)
    assert numbers == list(range(1, len(numbers) + 1))
    return plain


def body_of(*events: TraceEvent) -> list[str]:
    """The rendered trace without numbers and headings: contents only."""
    return [line for line in lines_of(*events)[1:] if not line.startswith("#")]
