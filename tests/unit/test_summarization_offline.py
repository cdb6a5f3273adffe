"""The offline model's summaries of small traces."""

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.extractive import extractive_summary
from local.sentences import headline, quotable
from tests.unit.text_repr.traces import event, generation
from trace_summarization.models import TraceEvent, TraceSummary
from trace_summarization.summarization import parse_summary
from trace_summarization.text_repr import render_trace

ANSWER = "I cannot refund order 7, because it was never paid. Is there anything else?"


def _summary(*events: TraceEvent) -> TraceSummary:
    rendered = render_trace("t1", events)
    return parse_summary(json.dumps(extractive_summary(rendered.text, 5, 10, 5)), rendered, "detailed")


def _refund() -> list[TraceEvent]:
    call = {"id": "c", "function": {"name": "refund", "arguments": '{"order": 7}'}}
    asked = [
        {"role": "system", "content": "You work for a shop."},
        {"role": "user", "content": "Hi! I'd like to get my money back for order 7. Can you help me with that?"},
    ]
    called = {"role": "assistant", "content": "Let me look into the refund of order 7.", "tool_calls": [call]}
    failed = {"role": "tool", "tool_call_id": "c", "content": "Error: order 7 was never paid"}
    return [
        event("trace", 9, span_name="shop", input_state=asked[1]["content"]),
        generation(1, model="gpt-4o", input=asked, output_choices=[called]),
        event("span", 2, span_name="refund", input_state={"order": 7}, error="Error: order 7 was never paid"),
        generation(
            3,
            model="gpt-4o",
            input=[*asked, called, failed],
            output_choices=ANSWER,
        ),
    ]


def test_a_summary_tells_wish_course_error_and_end_with_their_lines() -> None:
    summary = _summary(*_refund())
    assert summary.title == "Get money back for order 7"
    assert [(bullet.text, bullet.line_refs) for bullet in summary.bullets] == [
        ('The user asks: "Hi! I\'d like to get my money back for order 7. Can you help me with that?"', "L2"),
        ('The assistant: "Let me look into the refund of order 7."', "L6"),
        ("The assistant calls refund.", "L7"),
        ('refund fails: "order 7 was never paid"', "L10"),
        (f'In the end the assistant answers: "{ANSWER}"', "L14"),
    ]
    assert summary.flow_diagram.split("\n") == [
        "flowchart TD",
        '  n1["User: Get money back for order 7"]',
        '  n2["refund fails"]',
        '  n3["Answer: I cannot refund order 7"]',
        "  n1 --> n2",
        "  n2 --> n3",
    ]


def test_every_reference_names_lines_that_hold_the_quoted_words() -> None:
    rendered = render_trace("t1", _refund())
    lines = rendered.text.split("\n")
    for bullet in parse_summary(json.dumps(extractive_summary(rendered.text, 5, 10, 5)), rendered).bullets:
        quoted = bullet.text.partition('"')[2].removesuffix('"')
        number = int(bullet.line_refs.removeprefix("L"))
        assert quoted in lines[number - 1] or bullet.text == "The assistant calls refund."


def test_a_repeated_call_and_a_missing_answer_are_noted() -> None:
    calls = [
        generation(second, output_choices=[{"role": "assistant", "tool_calls": [{"name": "look", "args": {"at": 1}}]}])
        for second in range(4)
    ]
    failure = event("generation", 9, error="quota exceeded", is_error=True)
    notes = [note.text for note in _summary(*calls, failure).interesting_notes]
    assert notes == ["The trace ends without an answer.", "look is called 4 times with the same arguments."]


@pytest.mark.parametrize(
    ("request_text", "title"),
    [
        ("Hi! I'd like to book a one-way flight from ORD to PHL on May 26. It must be early.",
         "Book a one-way flight from ORD to PHL"),
        ("Hello, I'm really upset because my flight HAT039 was delayed. Can you help me with that?",
         "Flight HAT039 was delayed"),
        ("I have a booking for Texas, and I'd like to change my return flight to a later time.",
         "Change return flight to a later time"),
        ("What is the capital of France? Answer in one word.", "What is the capital of France?"),
        ("Analyze the last 24h of BTC and remind me if there is anything I need to do", "Analyze the last 24h of BTC"),
        ("<pr_description>\nConsider the following:\n# [Bug]: `merge`\n<!-- hidden\n-->\nMerging two frames fails.\n"
         "```python\nmerge()\n```", "Merging two frames fails"),
        ("Please find Mr. Lu's resume.", "Find Mr. Lu's resume"),
        ("hi", "Hi"),
    ],
)  # fmt: skip
def test_titles_say_what_is_wanted(request_text: str, title: str) -> None:
    assert _summary(generation(input=request_text, output_choices="Done.")).title == title


def test_a_headline_has_at_most_ten_words() -> None:
    assert len(headline([(1, "word " * 50)]).split()) <= 10


def test_quotes_leave_out_code_data_and_markup() -> None:
    lines = ["# Plan", "**First** we [read](https://e.org) it.", "```", "code()", "```", '{"a": 1}', "Then we stop."]
    quote = quotable(list(enumerate(lines, start=10)), 200)
    assert (quote.text, quote.refs) == ("First we read it. Then we stop.", ((11, 16),))


@given(st.text(max_size=400), st.integers(1, 4))
def test_any_text_gets_an_answer_in_the_schema(text: str, mode: int) -> None:
    numbered = "\n".join(f"L{number}: {line}" for number, line in enumerate(text.split("\n"), start=1))
    for given_text in (text, numbered):
        answer = extractive_summary(given_text, mode, mode + 3, 2)
        assert set(answer) == {"title", "flow_diagram", "summary_bullets", "interesting_notes"}
        assert answer["summary_bullets"]
        assert answer["title"]


@given(st.lists(st.sampled_from(_refund()), max_size=6), st.dictionaries(st.text(max_size=5), st.text(max_size=40)))
def test_any_trace_is_summarized_validly(events: list[TraceEvent], extra: dict[str, Any]) -> None:
    assert _summary(*events, generation(20, input=extra, output_choices=list(extra))).bullets


def test_a_hundred_kilobytes_take_well_under_a_second() -> None:
    generator = random.Random(5)  # noqa: S311 - the same text on every run
    words = ["".join(generator.choices("abcdefghijklmnop", k=7)) for _ in range(800)]
    turns = [" ".join(generator.choices(words, k=12)).capitalize() + "." for _ in range(1_200)]
    history = [{"role": ("user", "assistant")[n % 2], "content": turn} for n, turn in enumerate(turns)]
    text = render_trace("t1", [generation(input=history, output_choices="Done.")]).text
    assert len(text) > 100_000
    began = time.perf_counter()
    extractive_summary(text, 5, 10, 5)
    assert time.perf_counter() - began < 1.0
