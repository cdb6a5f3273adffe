"""Small traces for the tests of the text representation."""

import functools
import gzip
import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trace_summarization.models import TraceEvent
from trace_summarization.text_repr import render_trace

START = datetime(2025, 1, 15, 12, 0, tzinfo=UTC)


SAMPLES = sorted((Path(__file__).parents[3] / "samples").glob("*.jsonl.gz"))


def traces_of(path: Path) -> Mapping[str, list[TraceEvent]]:
    """The traces of an event file by id."""
    traces: dict[str, list[TraceEvent]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row: dict[str, Any] = json.loads(line)
            moment = datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
            event = TraceEvent(row["uuid"], row["event"], moment, row["properties"])
            traces[row["properties"]["$ai_trace_id"]].append(event)
    return traces


@functools.cache
def recorded_traces() -> Mapping[str, list[TraceEvent]]:
    """All traces of `samples/` by id."""
    return {trace_id: events for path in SAMPLES for trace_id, events in traces_of(path).items()}


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
