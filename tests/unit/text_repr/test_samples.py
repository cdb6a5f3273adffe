"""The recorded sample traces: every shape that real providers and frameworks left behind."""

import json
from pathlib import Path

import pytest

from local.extractive import extractive_summary
from tests.unit.text_repr.traces import SAMPLES, traces_of
from trace_summarization.summarization import parse_summary
from trace_summarization.text_repr import render_trace
from trace_summarization.text_repr.plain_text import clean_text

_CONTENT_KEYS = ("$ai_input", "$ai_output_choices", "$ai_input_state", "$ai_output_state", "$ai_error")


def test_there_are_samples() -> None:
    assert len(SAMPLES) >= 5


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_every_recorded_trace_is_rendered_and_summarized(path: Path) -> None:
    verified: list[bool] = []
    for trace_id, events in traces_of(path).items():
        rendered = render_trace(trace_id, events)
        headings = 1 + sum(event.event != "$ai_trace" for event in events)
        if any(event.properties.get(key) for event in events for key in _CONTENT_KEYS):
            assert rendered.line_count > headings, f"{trace_id} shows none of its content"
        for event in events:
            error = event.properties.get("$ai_error")
            for line in clean_text(error).split("\n")[1:] if isinstance(error, str) else ():
                assert line.strip() in rendered.text, f"{trace_id} cuts an error"
        summary = parse_summary(json.dumps(extractive_summary(rendered.text, 5, 10, 5)), rendered)
        verified += [item.verified for item in (*summary.bullets, *summary.interesting_notes)]
    assert sum(verified) >= 0.8 * len(verified)
