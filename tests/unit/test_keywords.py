"""Keywords: what people look for a trace by, in order of worth, as plain words, without secrets."""

import time
from typing import Any

import pytest

from bench.injections import CANARIES, CREDENTIALS_LINE
from bench.storage_rules import keyword_violations
from embedding.words import searchable
from tests.unit.text_repr.traces import event, generation, recorded_traces
from trace_summarization import constants as c
from trace_summarization.keywords import keywords_of
from trace_summarization.models import TraceEvent
from trace_summarization.redaction import Redactor
from trace_summarization.text_repr import render_trace


def keywords(*events: TraceEvent) -> str:
    """Keywords of a trace with redaction on."""
    return keywords_of(render_trace("t1", events, Redactor().redact), is_redacted=True)


def is_found(text: str, kept: str) -> bool:
    return searchable(text) in f" {kept} "


def call(name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "function": function}]}


ERROR = "Payment amount does not add up, total price is 348, but paid 160"
TRACE = (
    generation(
        0,
        model="gpt-4o",
        input=[
            {"role": "system", "content": "You are the assistant of an airline. Be courteous."},
            {"role": "user", "content": "Please move reservation 4WQ150 of noah_muller_9847 to Friday, thank you"},
        ],
        output_choices=[call("update_reservation_flights", '{"reservation_id": "4WQ150", "flight": "HAT136"}')],
    ),
    event(
        "span",
        1,
        span_name="update_reservation_flights",
        input_state={"reservation_id": "4WQ150", "flight": "HAT136"},
        is_error=True,
        error=f"Error: {ERROR}",
    ),
    generation(2, model="gpt-4o", http_status=429, is_error=True, error="openai.RateLimitError: slow down"),
    event("span", 3, span_name="run_tests", output_state="FAILED tests/test_ridge.py::test_cv_values - LinAlgError"),
)


@pytest.mark.parametrize(
    "asked",
    [
        ERROR,
        "update_reservation_flights",
        "run_tests",
        "RateLimitError",
        "LinAlgError",
        "status 429",
        "4WQ150",
        "HAT136",
        "noah_muller_9847",
        "tests/test_ridge.py",
        "test_cv_values",
        "gpt-4o",
        "move reservation 4WQ150",
        "courteous",
    ],
)
def test_what_people_look_for_is_found(asked: str) -> None:
    assert is_found(asked, keywords(*TRACE))


def test_errors_come_first_and_other_words_last() -> None:
    kept = keywords(*TRACE)
    wanted = [ERROR, "update reservation flights", "429", "hat136", "thank you", "courteous"]
    places = [f" {kept} ".index(searchable(each)) for each in wanted]
    assert places == sorted(places)


def test_an_error_that_comes_again_and_again_is_kept_once() -> None:
    failures = [event("span", second, span_name="pay", is_error=True, error=ERROR) for second in range(5)]
    assert keywords(*failures).count("does not add up") == 1


def test_of_a_long_traceback_the_end_is_kept_as_well() -> None:
    frames = "".join(f'  File "/app/module_{number}.py", line {number}, in run\n' for number in range(100))
    kept = keywords(event("span", is_error=True, error=f"Traceback (most recent call last):\n{frames}KeyError: 'seat'"))
    assert is_found("Traceback (most recent call last)", kept)
    assert is_found("KeyError: 'seat'", kept)


def test_a_flood_of_one_sort_leaves_room_for_the_others() -> None:
    errors = [event("span", n, span_name=f"tool_{n}", is_error=True, error=f"failure {n} " * 30) for n in range(300)]
    output = "\n".join(f"row_{number}_id" for number in range(9_000))
    asked = generation(400, input=f"Where is my yellow parcel? {output}", output_choices="There.")
    kept = keywords(*errors, asked)
    assert len(kept) <= c.MAX_KEYWORDS_LENGTH
    assert is_found("tool_7", kept)
    assert is_found("row_7_id", kept)
    assert is_found("where is my yellow parcel", kept)


def test_what_is_spoken_of_again_and_again_is_kept_before_what_is_named_once() -> None:
    many = " ".join(f"module_{number}.py" for number in range(2_000))
    turns = [generation(n, input=f"{many} and test_ridge_cv", output_choices="test_ridge_cv fails") for n in range(3)]
    assert is_found("test_ridge_cv", keywords(*turns))


def test_the_tool_behind_one_that_passes_on_is_named() -> None:
    passed = call("execute-tool", '{"server_name": "opgg-mcp", "tool_name": "valorant-leaderboard"}')
    assert is_found("valorant-leaderboard", keywords(generation(input="Rank?", output_choices=[passed])))


def test_line_breaks_within_json_do_not_stick_to_words() -> None:
    kept = keywords(event("span", span_name="read", output_state={"text": "first line\nserver ready\tdone"}))
    assert {"line", "server", "ready"} <= {*kept.split()}
    assert not {"nserver", "tdone"} & {*kept.split()}


def test_a_script_without_spaces_is_kept_in_rows() -> None:
    kept = keywords(
        generation(input="Recipe?", output_choices=[{"role": "assistant", "content": "请搅拌猪肉末和鸡蛋"}])
    )
    assert is_found("猪肉末", kept)
    long = "".join(chr(0x4E00 + number % 5_000) for number in range(20_000))
    assert 7_900 < len(keywords(event("span", span_name="read", output_state=long))) <= c.MAX_KEYWORDS_LENGTH


@pytest.mark.parametrize("is_redacted", [True, False])
def test_no_secret_is_kept_whether_or_not_the_team_redacts(is_redacted: bool) -> None:
    events = [
        event("span", 0, span_name="read_env", output_state=CREDENTIALS_LINE),
        event("span", 1, is_error=True, error=f"refused with {CREDENTIALS_LINE}"),
        generation(2, input=f"Use {CREDENTIALS_LINE}", output_choices="Done."),
    ]
    rendered = render_trace("t1", events, Redactor().redact if is_redacted else None)
    assert list(keyword_violations(keywords_of(rendered, is_redacted=is_redacted), CANARIES)) == []


def test_an_address_that_the_team_has_redacted_is_not_kept() -> None:
    kept = keywords(generation(input="Write to ada.lovelace@analytical.example please", output_choices="Sent."))
    assert "lovelace" not in kept
    assert "email" not in kept


def test_the_model_of_a_named_step_is_kept() -> None:
    step = generation(model="gpt-4.1-2025-04-14", span_name="response", latency=1.2, input_tokens=3, output_tokens=4)
    assert keywords(step) == "response gpt 4 1 2025 04 14"


def test_markup_and_links_are_words() -> None:
    text = "<script src=https://evil.example/x.js>alert(1)</script> [a](javascript:b) =cmd|' /C calc'!A0 \u202egnp.exe"
    kept = keywords(event("span", span_name=text, is_error=True, error=text))
    assert is_found("evil example x js", kept)
    assert list(keyword_violations(kept)) == []


def test_a_trace_without_content_has_no_more_than_its_names() -> None:
    assert keywords() == ""
    assert keywords(generation(model="gpt-4o", input=[])) == "gpt 4o"


def test_keywords_of_all_samples_obey_the_storage_rules() -> None:
    for trace_id, events in recorded_traces().items():
        kept = keywords_of(render_trace(trace_id, events, Redactor().redact), is_redacted=True)
        assert kept
        assert list(keyword_violations(kept)) == []


def test_the_same_trace_gives_the_same_keywords() -> None:
    assert keywords(*TRACE) == keywords(*reversed(TRACE))


def test_a_trace_of_the_largest_size_takes_a_fraction_of_its_rendering() -> None:
    sentence = "row {0} of the table holds value {1} and refers to file_{0}.csv "
    spans = [
        event("span", k, span_name="read", output_state=" ".join(sentence.format(n, n * k) for n in range(600)))
        for k in range(1, 55)
    ]
    began = time.perf_counter()
    rendered = render_trace("t1", spans, Redactor().redact)
    between = time.perf_counter()
    keywords_of(rendered, is_redacted=True)
    taken, rendering = time.perf_counter() - between, between - began
    assert len(rendered.text) > 1_500_000
    assert taken < max(0.5 * rendering, 0.5)
