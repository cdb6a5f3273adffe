"""The recorded sample traces: every shape that real providers and frameworks left behind."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from local.extractive import extractive_summary
from trace_summarization.models import TraceEvent
from trace_summarization.summarization import parse_summary
from trace_summarization.text_repr import render_trace
from trace_summarization.text_repr.plain_text import clean_text

FILES = sorted((Path(__file__).parents[3] / "samples").glob("*.jsonl.gz"))
_CONTENT_KEYS = ("$ai_input", "$ai_output_choices", "$ai_input_state", "$ai_output_state", "$ai_error")


def _traces(path: Path) -> Iterator[tuple[str, list[TraceEvent]]]:
    traces: dict[str, list[TraceEvent]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row: dict[str, Any] = json.loads(line)
            moment = datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
            event = TraceEvent(row["uuid"], row["event"], moment, row["properties"])
            traces[row["properties"]["$ai_trace_id"]].append(event)
    yield from traces.items()


def test_there_are_samples() -> None:
    assert len(FILES) >= 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_recorded_trace_is_rendered_and_summarized(path: Path) -> None:
    for trace_id, events in _traces(path):
        rendered = render_trace(trace_id, events)
        headings = 1 + sum(event.event != "$ai_trace" for event in events)
        if any(event.properties.get(key) for event in events for key in _CONTENT_KEYS):
            assert rendered.line_count > headings, f"{trace_id} shows none of its content"
        for event in events:
            error = event.properties.get("$ai_error")
            for line in clean_text(error).split("\n")[1:] if isinstance(error, str) else ():
                assert line.strip() in rendered.text, f"{trace_id} cuts an error"
        summary = parse_summary(json.dumps(extractive_summary(rendered.text, 5, 10, 5)), rendered)
        assert all(item.line_refs for item in (*summary.bullets, *summary.interesting_notes))
