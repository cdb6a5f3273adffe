"""Whatever a trace holds, it is rendered: never an exception, always valid, numbered, repeatable text."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.storage_rules import keyword_violations
from tests.unit.text_repr.traces import START, body_of, generation
from trace_summarization.keywords import keywords_of
from trace_summarization.models import TraceEvent
from trace_summarization.text_repr import TextRepr, render_trace

_TEXT = st.text(st.characters(), max_size=30)  # surrogates and control characters included
_SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT
# One alternation instead of a list: it stays readable on a few lines.
_WORDS = st.from_regex(
    r"role|content|type|text|parts|name|tool_calls|function|arguments|messages|output|input|choices|message|kwargs|lc|id"
    r"|image|source|data|tool_use|tool_result|thinking|reasoning|functionCall|functionResponse|toolUse|toolResult|user"
    r"|assistant|tool|human|ai|summary|status|error|candidates|generations|prompt|contents|tools|image_url|file|url"
    r"|toolCallId|toolName|additional_kwargs|document|finish_reason|audio|refusal|annotations|reasoningContent|parameters"
    r"|function_call_output|mcp_call|additional_tools|text_delta|data:image/png;base64,|delta|index|part_kind|block_type"
    r"|kind|request|response|tool-call|tool-return|_role|_content|_meta|items|blocks|label|source|TextMessage|goto|update"
    r"|return_values|tool_input|__type|tool_call_with_context|state|node|arg|score|page_content|metadata|raw|event"
    r"|stream_event|subtype|completion|generation|outputText|inputText|results|outputs|completions|done|gen_ai.choice"
    r"|event.name|body|attributes|llm.input_messages.0.message.role|llm.input_messages.0.message.content|gen_ai.prompt.0"
    r"|gen_ai.prompt|ai.prompt|message.role|message_content|custom|toolInvocation|tool_results|call|origin|structuredContent"
    r"|isError|stdout|stderr|return_code|fields|string_value|struct_value|promptFeedback|blockReason|safetyRatings|blocked"
    r"|groundingMetadata|groundingChunks|citations|url_citation|title|compaction|item_reference|mcp_approval_request"
    r"|tool-x|toolCalls|content_block_delta|message_start|content_block|contentBlockDelta|response.completed|item|object"
    r"|chat.completion.chunk|AIMessageChunk|tool_call_chunks|usage|properties|required|enum|anyOf|[$]ref|[$]defs|array"
    r"|description|functionDeclarations|json_schema|1|0|json|value|error-text|thought|promptfeedback|guardContent",
    fullmatch=True,
)
_KEY: st.SearchStrategy[Any] = _WORDS | _TEXT
_VALUE: st.SearchStrategy[Any] = st.recursive(
    _SCALAR | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEY | st.integers() | st.none(), inner, max_size=6),
    max_leaves=25,
)
_PROPERTY = st.sampled_from([
    "$ai_input", "$ai_output_choices", "$ai_output", "$ai_input_state", "$ai_output_state", "$ai_error", "$ai_is_error",
    "$ai_tools", "$ai_latency", "$ai_span_id", "$ai_parent_id", "$ai_span_name", "$ai_model", "$ai_input_tokens",
    "$ai_total_cost_usd", "$ai_http_status", "$ai_feedback_text", "$ai_generation_id",
])  # fmt: skip
_EVENT = st.builds(
    TraceEvent,
    uuid=st.sampled_from(["1", "2", "3"]),
    event=st.sampled_from(["$ai_trace", "$ai_generation", "$ai_span", "$ai_embedding", "$ai_evaluation", "$ai_\ud800"]),
    timestamp=st.datetimes(timezones=st.just(START.tzinfo)),
    properties=st.dictionaries(_PROPERTY, _VALUE, max_size=8),
)


def _check(rendered: TextRepr) -> None:
    lines = rendered.text.split("\n")
    assert rendered.text.encode()
    assert lines == rendered.text.splitlines()
    assert all(re.match(r"\d* ", line) for line in lines)
    assert [int(line.partition(" ")[0]) for line in lines if line[0] != " "] == list(range(1, rendered.line_count + 1))
    assert list(rendered.lines) == list(range(1, rendered.line_count + 1))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", rendered.text)
    cited = [int(number) for number in re.findall(r"\[(?:same as|\d+ messages as in) L(?:\d+-)?(\d+)\]", rendered.text)]
    assert all(number <= rendered.line_count for number in cited)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_EVENT, max_size=5), _TEXT)
def test_any_json_is_rendered(events: list[TraceEvent], trace_id: str) -> None:
    rendered = render_trace(trace_id, events)
    _check(rendered)
    assert render_trace(trace_id, events) == rendered


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_EVENT, max_size=5), _TEXT)
def test_keywords_of_any_json_are_plain_words(events: list[TraceEvent], trace_id: str) -> None:
    assert list(keyword_violations(keywords_of(render_trace(trace_id, events), is_redacted=True))) == []


def _nested(depth: int, wrap: str) -> Any:
    """`wrap` around itself, `depth` times; its 0 is where the next level goes."""
    value: Any = "core"
    for _ in range(depth):
        holder = json.loads(wrap)
        value = [value] if isinstance(holder, list) else {k: value if v == 0 else v for k, v in holder.items()}
    return value


@pytest.mark.parametrize("depth", [19, 500, 5_000])
@pytest.mark.parametrize(
    "wrap",
    [
        "[0]", '{"content": 0}', '{"role": "user", "content": 0}', '{"messages": 0}', '{"message": 0}', '{"input": 0}',
        '{"type": "tool_result", "content": 0}', '{"type": "x", "content": 0}', '{"source": 0, "type": "image"}',
        '{"type": "tool_use", "name": "n", "input": 0}', '{"type": "thinking", "thinking": 0}', '{"parts": 0}',
        '{"kwargs": 0, "lc": 1, "id": ["m"]}', '{"tool_calls": 0, "role": "assistant"}', '{"functionResponse": 0}',
        '{"choices": [{"delta": 0}]}', '{"part_kind": "text", "content": 0}',
        '{"structuredContent": 0, "content": [1]}',
        '{"type": "content_block_delta", "delta": 0}', '{"kind": "request", "parts": [0]}',
        '{"_role": "ai", "_content": 0}',
        '{"llm.input_messages": 0}', '{"tool_results": [0], "role": "tool"}', '{"citations": 0, "text": "a"}',
        '{"type": "x", "function": 0}', '{"properties": {"a": 0}}', '{"items": 0, "type": "array"}',
        '{"raw": 0, "message": {"role": "ai", "content": "a"}}',
        '{"groundingMetadata": 0, "content": {"parts": []}}', '{"update": 0, "goto": "a"}', '{"candidates": [0]}',
        '{"role": {"label": 0}, "content": "a"}', '{"fields": {"a": {"struct_value": 0}}}', '{"output": 0}',
        '{"additional_kwargs": 0, "role": "ai"}', '{"tools": 0}', '{"any": 0}',
    ],
)  # fmt: skip
def test_deep_nesting_is_rendered(wrap: str, depth: int) -> None:
    value = _nested(depth, wrap)
    for key in ("input", "output_choices", "input_state", "tools", "error"):
        _check(render_trace("t1", [generation(**{key: value}), generation(1, **{key: [value]})]))


def test_a_circular_value_and_odd_keys_are_printed() -> None:
    ring: dict[Any, Any] = {(1, 2): 3}
    ring["self"] = ring
    assert body_of(generation(input=ring, output_choices="ok"))[0] == 'user: {"(1, 2)": 3, "self": "[circular]"}'


def test_a_deep_value_loses_nothing() -> None:
    rendered = render_trace("t1", [generation(error=_nested(5_000, "[0]"))])
    assert "[" * 5_000 + '"core"' + "]" * 5_000 in rendered.text


@pytest.mark.parametrize(
    ("piece", "count"),
    [("x", 10_000_000), ("\n", 10_000_000), ("a\ud800", 2_000_000), ('[{"', 1_000_000), ("data:;base64,", 700_000)],
)
def test_a_huge_string_is_rendered(piece: str, count: int) -> None:
    text = piece * count
    _check(render_trace("t1", [generation(input=text, output_choices=[{"role": "assistant", "content": text}])]))
