"""How much of what a trace says a rendering still shows."""

import json
from pathlib import Path

import pytest

from bench.content_share import Shown, distinct_content
from bench.event_files import read_traces
from bench.text_repr import shown_text
from tests.unit.text_repr.traces import event, generation
from trace_summarization.text_repr import render_trace

LINES = ("The order left the warehouse.", "It arrives on Monday.", "The customer was told so by mail.")


def test_each_line_counts_once() -> None:
    question = {"role": "user", "content": "Where is\n  order 7?"}
    content = distinct_content([generation(1, input=[question]), generation(2, input=[question, question])])
    assert content.lines == ("Where is", "order 7?")
    assert content.length == len("Where is") + len("order 7?")


def test_strings_within_json_strings_count_by_themselves() -> None:
    arguments = json.dumps({"city": "Bern", "filters": json.dumps(["cheap", "central"])})
    call = {"id": "call_1", "type": "function", "function": {"name": "find_hotels", "arguments": arguments}}
    content = distinct_content([generation(output_choices=[{"role": "assistant", "tool_calls": [call]}])])
    assert content.lines == ("find_hotels", "Bern", "cheap", "central")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_result", "tool_use_id": "toolu_1", "status": "completed"},
        {"mimeType": "image/png", "data": "iVBORw0KGgo="},
        {"image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="}},
        {"thought_signature": "EtgBCkYIBxgC", "encrypted_content": "gAAAAAB"},
        {"text": "QUJD" * 200},
        {"usage": {"tier": "default"}, "cache_control": {"type": "ephemeral"}},
        {"name": None, "parameters": {"type": "object", "properties": {"city": {"title": "City"}}}},
    ],
)
def test_what_a_protocol_needs_is_no_content(block: object) -> None:
    assert distinct_content([generation(input=[{"role": "user", "content": [block]}])]).lines == ()


def test_a_tools_data_under_a_protocols_key_is_looked_into() -> None:
    assert distinct_content([event("span", output_state={"type": {"name": "express"}})]).lines == ("express",)


def test_lines_of_errors_are_told_apart() -> None:
    content = distinct_content([event("span", output_state="gone\nwrong", error="wrong\nagain")])
    assert content.lines == ("gone", "wrong", "again")
    assert content.error_lines == ("wrong", "again")


def test_a_dropped_line_lowers_the_share_by_its_length() -> None:
    assert Shown("\n".join(LINES)).share(LINES) == 1
    shown = len(LINES[0]) + len(LINES[2])
    assert Shown("\n".join([LINES[0], LINES[2]])).share(LINES) == shown / (shown + len(LINES[1]))
    assert Shown("").share(LINES) == 0
    assert Shown("").share(()) == 1


def test_a_line_beside_a_label_or_broken_in_two_is_found() -> None:
    assert Shown(f"user: {LINES[0]}\n{LINES[1][:10]}\n  {LINES[1][10:]}").share(LINES[:2]) == pytest.approx(1)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_lines_escaped_in_json_are_found(times: int) -> None:
    said = ['Say "hello"\tto C:\\new\\users.', "Grüße \U0001f600 \\", "/path/to"]
    text = "\n".join(said)
    for ensure_ascii in (True, False):
        escaped = text
        for _ in range(times):
            escaped = json.dumps({"said": escaped}, ensure_ascii=ensure_ascii)
        content = distinct_content([event("span", output_state=text)])
        assert Shown(escaped).share(content.lines) == 1


def test_a_line_that_is_quoted_somewhere_is_the_same_line() -> None:
    assert distinct_content([event("span", output_state='It failed.\n  "It failed.",')]).lines == ("It failed.",)


def test_terminal_sequences_and_control_characters_do_not_matter() -> None:
    content = distinct_content([event("span", output_state="\x1b[31mfailed\x1b[0m\x00 twice\r\nthen passed")])
    assert content.lines == ("failed twice", "then passed")
    assert Shown("L1: failed\ufffd twice\nL2: then passed").share(content.lines) == 1


def test_of_a_long_line_what_is_left_after_a_cut_counts() -> None:
    line = " ".join(f"word{number}" for number in range(1_000))
    cut = f"{line[: len(line) // 4]}\n[... left out ...]\n{line[-len(line) // 4 :]}"
    assert Shown(cut).share([line]) == pytest.approx(0.5, abs=0.03)


def test_line_numbers_are_no_content() -> None:
    text = "\n".join(f"{number} dwarfs with {number} lanterns in mine number {number}" for number in range(20))
    rendered = render_trace("t1", [generation(input=text)])
    assert rendered.text != shown_text(rendered)
    shown = [line.strip() for line in shown_text(rendered).split("\n")]
    assert shown[3:-1] == text.split("\n")[1:]


def test_traces_are_read_from_all_event_files_of_a_folder(tmp_path: Path) -> None:
    def row(team_id: int, name: str) -> str:
        properties = {"$ai_trace_id": "t1", "$ai_span_name": name}
        moment = "2025-01-15T12:00:00Z"
        fields = {"uuid": name, "event": "$ai_span", "timestamp": moment, "team_id": team_id}
        return json.dumps({**fields, "properties": properties})

    (tmp_path / "a.jsonl").write_text(f"{row(1, 'one')}\n{row(2, 'two')}\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(f"{row(1, 'three')}\n", encoding="utf-8")
    (tmp_path / "labels.jsonl").write_text('{"label": "not an event"}\n', encoding="utf-8")
    traces = read_traces(tmp_path)
    assert [(trace.team_id, [event.uuid for event in trace.events]) for trace in traces] == [
        (1, ["one", "three"]),
        (2, ["two"]),
    ]
    assert traces[1].property_bytes == len('{"$ai_trace_id": "t1", "$ai_span_name": "two"}')


def test_a_folder_without_event_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \*\.jsonl"):
        read_traces(tmp_path)
