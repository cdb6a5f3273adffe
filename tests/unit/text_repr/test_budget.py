import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.text_repr.traces import event, generation
from trace_summarization.models import TraceEvent
from trace_summarization.text_repr import TextRepr, fit, render_trace
from trace_summarization.tokens import count_tokens

PROSE = "The parcel left the warehouse in Hamburg, was weighed twice, and nobody at the counter could say why. "


def _prose(words: int, seed: int) -> str:
    """Prose that repeats no line of another seed."""
    return "\n".join(f"Note {seed}-{number}: {PROSE}" for number in range(words // 17))


def _tool_loop(rounds: int) -> list[TraceEvent]:
    events = []
    for second in range(rounds):
        call = {"function": {"name": "poll", "arguments": "{}"}}
        events.append(generation(2 * second, output_choices=[{"role": "assistant", "tool_calls": [call]}]))
        events.append(event("span", 2 * second + 1, span_name="poll", output_state="not ready"))
    return events


def _long_trace() -> list[TraceEvent]:
    asked = {"role": "user", "content": "Where is parcel 77? " + _prose(100, 1)}
    tool = {"role": "tool", "name": "lookup", "content": _prose(6_000, 2)}
    return [
        generation(1, input=[{"role": "system", "content": _prose(800, 3)}, asked], output_choices="I look it up."),
        event("span", 2, span_name="lookup", output_state=_prose(6_000, 2), error="lookup fails: " + _prose(50, 4)),
        generation(3, input=[asked, tool], output_choices="Parcel 77 is in Hamburg. " + _prose(100, 5)),
    ]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"^(\d+) ", text, re.MULTILINE)]


def test_what_fits_stays_as_it_is() -> None:
    rendered = render_trace("t1", _long_trace())
    assert fit(rendered, count_tokens(rendered.text) + 1) is rendered


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.05, 0.01, 0.0001])
def test_the_result_is_within_the_cap_and_uses_most_of_it(share: float) -> None:
    rendered = render_trace("t1", _long_trace())
    cap = max(1, int(count_tokens(rendered.text) * share))
    tokens = count_tokens(fit(rendered, cap).text)
    assert tokens <= cap
    if cap > 500:
        assert tokens > cap * 0.8


def test_errors_stay_whole_and_the_wish_and_the_answer_before_tool_output() -> None:
    rendered = render_trace("t1", _long_trace())
    text = fit(rendered, 1_800).text.replace("\n ", "\n")
    assert all(f"Note 4-{number}: {PROSE}".strip() in text for number in range(2))
    assert "Where is parcel 77?" in text
    assert "Parcel 77 is in Hamburg." in text
    assert text.count("Note 2-") < 20
    assert text.count("Note 1-") + text.count("Note 5-") == 2 * (100 // 17)


def test_numbers_stay_those_of_the_whole_text_and_gaps_say_what_is_missing() -> None:
    rendered = render_trace("t1", _long_trace())
    shortened = fit(rendered, 1_800)
    shown = _numbers(shortened.text)
    assert shown == sorted(shown) == list(shortened.lines)
    assert all(shortened.lines[number].split("\n")[-1] in rendered.lines[number] for number in shown)
    missing = set(range(1, rendered.line_count + 1)) - set(shown)
    told = set()
    for first, last in re.findall(r"^\[\.\.\. L(\d+)(?:-(\d+))? left out", shortened.text, re.MULTILINE):
        told |= set(range(int(first), int(last or first) + 1))
    assert missing == told
    assert shortened.line_count == rendered.line_count
    assert shortened.event_of_line(min(missing)) is None


def test_a_loop_becomes_a_count() -> None:
    rendered = render_trace("t1", [generation(0, input="Wait for it", output_choices="ok"), *_tool_loop(50)])
    text = fit(rendered, count_tokens(rendered.text) // 4).text
    assert re.search(r"\[\.\.\. L\d+-\d+ left out: 48 more rounds like the one above \.\.\.\]", text)
    assert text.count("not ready") <= 2


def test_rounds_that_differ_are_no_loop() -> None:
    events = [event("span", second, span_name="poll", output_state=f"answer {second}") for second in range(40)]
    rendered = render_trace("t1", events)
    assert "more rounds" not in fit(rendered, count_tokens(rendered.text) // 2).text


def test_a_failed_round_is_no_round_like_the_others() -> None:
    events = [event("span", second, span_name="step", output_state="ok") for second in range(40)]
    events[20] = event("span", 20, span_name="step", output_state="ok", is_error=True, http_status=500)
    rendered = render_trace("t1", events)
    text = fit(rendered, count_tokens(rendered.text) // 2).text
    assert "step (status 500, error)" in text
    assert "error: [no details recorded]" in text


def test_gaps_beside_loops_name_all_that_is_missing() -> None:
    events = [event("span", second, span_name="poll", output_state="not ready") for second in range(10)]
    events += [
        generation(20 + k, input=f"question {k} " + PROSE, output_choices=f"answer {k} " + PROSE) for k in range(30)
    ]
    rendered = render_trace("t1", events)
    for cap in (250, 270, 400, 700, 1_500):
        shortened = fit(rendered, cap)
        told = {
            number for line in shortened.parts if not line.number for a, b in line.refers for number in range(a, b + 1)
        }
        assert told | set(shortened.lines) == set(rendered.lines)


def test_the_wish_and_the_answer_stay_whole_before_stubs_of_tool_output() -> None:
    wish = (
        "Please find out why order 7781 never reached the customer in Hamburg, and write an apology letter in German."
    )
    spans = [event("span", k, span_name=f"tool {k}", output_state=_prose(60, k)) for k in range(40)]
    trace = event("trace", 99, input_state=wish, output_state="The carrier lost it. " + _prose(60, 77))
    text = fit(render_trace("t1", [trace, *spans]), 1_000).text
    assert wish in text
    assert "The carrier lost it." in text


def test_one_line_without_an_end_is_cut_within() -> None:
    rendered = render_trace("t1", [event("span", output_state="x7 " * 50_000)])
    text = fit(rendered, 1_000).text
    assert 800 < count_tokens(text) <= 1_000
    assert re.search(r"x7 \[\.\.\. [\d,]+ characters left out \.\.\.\] ", text)


def test_errors_that_are_too_long_are_cut_as_a_last_resort() -> None:
    rendered = render_trace("t1", [event("span", error="first of all " + _prose(5_000, 1) + " last of all")])
    text = fit(rendered, 500).text
    assert count_tokens(text) <= 500
    assert "first of all" in text
    assert "last of all" in text


def test_what_an_error_repeats_is_kept_like_the_error() -> None:
    message = "Fatal: " + _prose(200, 9)
    noise = [event("span", 2 + k, span_name="y", output_state=_prose(2_000, k)) for k in range(3)]
    rendered = render_trace("t1", [event("span", 1, span_name="x", output_state=message, error=message), *noise])
    text = fit(rendered, 1_000).text.replace("\n ", "\n")
    assert all(line.strip() in text for line in message.split("\n"))


def test_less_than_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens: 0"):
        fit(render_trace("t1", []), 0)


def test_two_million_characters_are_shortened_in_seconds() -> None:
    events = [event("span", second, output_state=_prose(4_000, second)) for second in range(80)]
    rendered = render_trace("t1", events)
    assert len(rendered.text) > 2_000_000
    began = time.perf_counter()
    assert count_tokens(fit(rendered, 60_000).text) <= 60_000
    assert time.perf_counter() - began < 10


_TEXT = st.text(alphabet="ab \nç漢😀,.", max_size=300)
_EVENTS = st.lists(
    st.builds(
        TraceEvent,
        uuid=st.sampled_from("123"),
        event=st.sampled_from(["$ai_generation", "$ai_span", "$ai_trace"]),
        timestamp=st.datetimes(min_value=datetime(2025, 1, 1), timezones=st.just(UTC)),
        properties=st.dictionaries(
            st.sampled_from(["$ai_input", "$ai_output_choices", "$ai_error", "$ai_tools", "$ai_span_name"]), _TEXT
        ),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(_EVENTS, st.integers(1, 400))
def test_any_trace_fits_any_cap(events: list[TraceEvent], cap: int) -> None:
    rendered: TextRepr = render_trace("t1", events)
    shortened: Any = fit(rendered, cap)
    assert count_tokens(shortened.text) <= cap
    assert set(shortened.lines) <= set(rendered.lines)
    assert fit(rendered, cap).text == shortened.text
