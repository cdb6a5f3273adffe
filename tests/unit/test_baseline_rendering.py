"""The plain rendering that the benchmark measures ours against."""

import re
from typing import Any

import pytest

from bench.baseline_messages import cut, messages_text, signature, tools_text
from bench.baseline_rendering import render_baseline, sampled, sampled_to_tokens, without_line_numbers
from tests.unit.text_repr.traces import event, generation
from trace_summarization.tokens import count_tokens

RULE = "-" * 80
QUESTION = {"role": "user", "content": "Where is order 7?"}
ANSWER = {"role": "assistant", "content": "On its way."}


def lines_of(*events: Any) -> list[str]:
    return without_line_numbers(render_baseline(events)).split("\n")


def test_a_trace_is_laid_out_as_a_tree_of_numbered_lines() -> None:
    text = render_baseline(
        [
            event("trace", 9, span_name="shop"),
            event("span", 1, span_name="plan", latency=0.4, output_state={"step": 1}),
            generation(2, model="gpt-4o", latency=1.254, total_cost_usd=0.00421, is_error=True, input=[QUESTION]),
        ]
    )
    assert text.split("\n") == [
        "L01: SHOP",
        "L02: " + "=" * 80,
        "L03: ",
        "L04: " + RULE,
        "L05: ",
        "L06: TRACE HIERARCHY:",
        "L07: ",
        "L08: ├─ [+] [SPAN] plan (0.40s)",
        "L09: │      PLAN",
        "L10: │      " + "=" * 80,
        "L11: │      " + RULE,
        "L12: │",
        "L13: │      OUTPUT STATE:",
        "L14: │",
        "L15: │      {",
        'L16: │        "step": 1',
        "L17: │      }",
        "L18: └─ [+] [GEN] gpt-4o (1.25s, $0.0042, gpt-4o, ERROR)",
        "L19:        " + RULE,
        "L20: ",
        "L21:        INPUT:",
        "L22: ",
        "L23:        [1] USER",
        "L24: ",
        "L25:        Where is order 7?",
        "L26: ",
        "L27:        " + RULE,
        "L28: ",
        "L29:        ERROR:",
        "L30: ",
        "L31:        An error without details.",
    ]


def test_events_stand_in_time_order_all_at_the_root() -> None:
    late = event("span", 2, span_name="late", parent_id="early")
    early = event("span", 1, span_name="early", span_id="early")
    feedback = event("feedback", 3)
    heads = [line for line in lines_of(late, feedback, early) if line.startswith(("├─", "└─"))]
    assert heads == ["├─ [+] [SPAN] early", "├─ [+] [SPAN] late", "└─ [EVENT] $ai_feedback"]


def test_every_generation_prints_its_whole_input() -> None:
    lines = lines_of(generation(1, input=[QUESTION]), generation(2, input=[QUESTION, ANSWER, QUESTION]))
    assert sum("Where is order 7?" in line for line in lines) == 3


def test_a_trace_without_events_shows_its_own_input_and_output() -> None:
    lines = lines_of(event("trace", input_state="Find it.", output_state="Found."))
    assert lines.index("TRACE INPUT:") < lines.index("Find it.") < lines.index("TRACE OUTPUT:") < lines.index("Found.")


def test_content_is_cut_in_its_middle_to_a_thousand_characters() -> None:
    text = "a" * 700 + "b" * 700
    assert cut(text) == "a" * 500 + "\n\n... (400 chars truncated) ...\n\n" + "b" * 500
    assert cut("a" * 1_000) == "a" * 1_000


def test_messages_are_numbered_and_parted_by_rules() -> None:
    assert messages_text([QUESTION, ANSWER]) == (
        f"[1] USER\n\nWhere is order 7?\n\n{RULE}\n\n[2] ASSISTANT\n\nOn its way."
    )


def test_tool_calls_are_listed_below_the_message() -> None:
    call = {"function": {"name": "find", "arguments": '{"id": 7, "deep": {"a": [1]}}'}}
    message = {"role": "assistant", "content": "Let me look.", "tool_calls": [call]}
    assert messages_text([message]).endswith('Let me look.\n\nTool calls: 1\n  - find(id=7, deep={"a": [1]})')


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ([{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}], "One.\n\nTwo."),
        ([{"type": "thinking", "thinking": "Hm."}], "[THINKING]\n\nHm."),
        ([{"type": "tool_use", "name": "find", "input": {"id": 7}}], "find(id=7)"),
        ([{"type": "tool_result", "content": [{"type": "text", "text": "Found."}]}], "[TOOL_RESULT]\n\nFound."),
        ([{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "x"}}], "See:"),
        ({"content": {"text": "Deep."}}, "Deep."),
    ],
)
def test_blocks_with_text_are_shown(content: object, shown: str) -> None:
    assert messages_text([{"role": "user", "content": content}]) == f"[1] USER\n\n{shown}"


def test_parts_without_a_type_are_dropped() -> None:
    assert messages_text([{"role": "user", "parts": [{"text": "Said to Gemini."}]}]) == "[1] USER"


def test_typed_parts_become_messages() -> None:
    parts = [
        {"type": "text", "content": "Looking."},
        {"type": "tool_call", "name": "find", "arguments": {"id": 7}},
        {"type": "tool_call_response", "response": "Found."},
    ]
    assert messages_text([{"role": "assistant", "parts": parts}]) == (
        f"[1] ASSISTANT\n\nLooking.\n\nTool calls: 1\n  - find(id=7)\n\n{RULE}\n\n[1] TOOL\n\nFound."
    )


def test_a_response_of_the_responses_api_is_shown() -> None:
    items = [{"type": "reasoning", "summary": []}, {"type": "function_call", "name": "find", "arguments": "{}"}]
    lines = [line.strip() for line in lines_of(generation(output_choices={"object": "response", "output": items}))]
    assert lines[-9:] == [
        "[1] REASONING",
        "",
        "[reasoning summary not recorded]",
        "",
        RULE,
        "",
        "[2] FUNCTION_CALL",
        "",
        "find()",
    ]


def test_up_to_five_tools_are_listed_and_more_are_counted() -> None:
    parameters = {"properties": {"id": {"type": "string"}, "deep": {}}, "required": ["id"]}
    tool = {"function": {"name": "find", "description": "Find it. Slowly.\nAlways.", "parameters": parameters}}
    assert tools_text([tool]) == "AVAILABLE TOOLS: 1\n\n  find(id: string, deep?: any)\n    Find it."
    assert tools_text([tool] * 5).count("find(") == 5
    assert tools_text([tool] * 6) == "[+] AVAILABLE TOOLS: 6"
    assert tools_text([{"functionDeclarations": [{"name": "a"}] * 6}]) == "[+] AVAILABLE TOOLS: 6"


def test_arguments_that_are_no_object_stay_as_they_are() -> None:
    assert signature("find", "{broken") == "find({broken)"
    assert signature("find", "") == signature("find", None) == "find()"


def test_an_error_is_shown_whole_and_json_of_it_as_an_outline() -> None:
    long = "no such order, " * 200
    assert any(long.strip() in line for line in lines_of(event("span", error=long)))
    lines = [line.strip() for line in lines_of(event("span", error='{"error": {"code": 404, "of": [1]}}'))]
    assert lines[-4:] == ["error:", "code: 404", "of:", "- 1"]


@pytest.mark.parametrize(
    "value", [None, 0, 1.5, True, "", "{", [], [None, 3, "text", []], {"role": {}}, {"content": 3}]
)
def test_no_value_breaks_it(value: object) -> None:
    names = ("input", "output_choices", "output", "input_state", "output_state", "error", "tools", "latency")
    properties: dict[str, Any] = dict.fromkeys(names, value)
    kinds = ("generation", "span", "embedding", "evaluation", "trace", "feedback")
    assert render_baseline([event(kind, **properties) for kind in kinds]).startswith("L")


def test_a_long_text_is_thinned_out_behind_its_head() -> None:
    text = "\n".join(f"L{number:04}: line {number}" for number in range(1, 2_001))
    shorter = sampled(text, 5_000)
    lines = shorter.split("\n")
    assert len(shorter) <= 5_000
    assert [*lines[:2], *lines[3:6]] == text.split("\n")[:5]
    assert re.fullmatch(r"\[SAMPLED VIEW: ~\d+% of 2,000 lines; .*\]", lines[2])
    assert lines[6].startswith("L0006: ")
    assert lines[6:] == sorted(set(lines[6:]))


@pytest.mark.parametrize("text", ["x" * 9_000, "a\nb\nc\nd\n" + "x" * 9_000, "\n" * 9_000, "short"])
@pytest.mark.parametrize("longest", [1, 50, 500, 5_000])
def test_a_thinned_out_text_keeps_its_limit(text: str, longest: int) -> None:
    assert len(sampled(text, longest)) <= longest


def test_a_text_is_thinned_out_until_its_tokens_fit() -> None:
    text = "\n".join(f"L{number:04}: what was said in line {number}" for number in range(1, 2_001))
    tokens = count_tokens(sampled_to_tokens(text, 3_000, count_tokens))
    assert 2_400 <= tokens <= 3_000
    assert sampled_to_tokens("short", 3_000, count_tokens) == "short"
