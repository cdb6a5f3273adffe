"""What is asked of a model: tokens, output limit, reasoning effort."""

import json
import math

import pytest

from trace_summarization import constants as c
from trace_summarization.models import Mode, ModelUsage
from trace_summarization.ports import ModelAnswer
from trace_summarization.prompts import sized_response_schema
from trace_summarization.requests import (
    expected_output_tokens,
    max_output_tokens,
    reasoning_effort,
    reasons,
    repair_request,
    request_tokens,
    summary_request,
)
from trace_summarization.tokens import UNKNOWN_MODEL_MARGIN, count_tokens

TEXT = "L1: trace t (1 generation)\nL2: user: Where is my order?"


def test_a_request_counts_its_messages_the_schema_and_what_frames_them() -> None:
    request = summary_request(TEXT, "detailed", "gpt-4.1-mini")
    contents = [message.content for message in request.messages]
    schema = count_tokens(json.dumps(sized_response_schema("detailed")))
    assert request.input_tokens == sum(map(count_tokens, contents)) + schema + 2 * 4 + 3


def test_a_model_of_an_unknown_encoding_is_counted_with_a_margin() -> None:
    messages = summary_request(TEXT, "detailed", "gpt-4.1-mini").messages
    exact = request_tokens("gpt-4.1-mini", "detailed", messages)
    assert request_tokens("some-model", "detailed", messages) == math.ceil(exact * UNKNOWN_MODEL_MARGIN)


def test_a_repair_counts_what_it_adds() -> None:
    request = summary_request(TEXT, "minimal", "gpt-4.1-mini")
    repair = repair_request(request, ModelAnswer("{}", ModelUsage("m", 1, 1)), "title: is missing, not a string")
    assert repair.input_tokens == request_tokens("gpt-4.1-mini", "minimal", repair.messages)


@pytest.mark.parametrize(
    ("model", "content", "is_cut_off", "added"),
    [
        ("a-deployment", "", True, c.REASONING_OUTPUT_TOKENS),
        ("a-deployment", '{"title', True, 0),
        ("a-deployment", "{}", False, 0),
        ("gpt-5", "", True, 0),
        ("gpt-5.1", "", True, c.REASONING_OUTPUT_TOKENS),
    ],
)
def test_a_model_that_used_up_its_limit_on_reasoning_gets_room_for_it(
    model: str, content: str, is_cut_off: bool, added: int
) -> None:
    request = summary_request(TEXT, "minimal", model)
    repair = repair_request(request, ModelAnswer(content, ModelUsage("m", 1, 1), is_cut_off), "cut off")
    assert repair.max_output_tokens == request.max_output_tokens + added


@pytest.mark.parametrize("mode", ["detailed", "minimal"])
def test_a_model_that_reasons_may_answer_at_more_length(mode: Mode) -> None:
    assert max_output_tokens("gpt-4.1-mini", mode) == c.MAX_OUTPUT_TOKENS[mode]
    assert max_output_tokens("gpt-5.1", mode) == c.MAX_OUTPUT_TOKENS[mode], "it is asked not to reason"
    assert max_output_tokens("gpt-5-mini", mode) == c.MAX_OUTPUT_TOKENS[mode] + c.REASONING_OUTPUT_TOKENS


@pytest.mark.parametrize(
    ("name", "reasoning"),
    [
        ("gpt-4.1-mini", 0),
        ("gpt-5.1", 0),
        ("gemini-2.5-flash", 0),
        ("gpt-5-mini", c.EXPECTED_REASONING_TOKENS["minimal"]),
        ("openai.gpt-oss-20b-1:0", c.EXPECTED_REASONING_TOKENS["low"]),
        ("deepseek-reasoner", c.EXPECTED_REASONING_TOKENS_OF_OTHERS),
    ],
)
def test_an_estimate_expects_reasoning_by_the_effort_that_is_asked_for(name: str, reasoning: int) -> None:
    assert expected_output_tokens(name, "detailed") == c.EXPECTED_OUTPUT_TOKENS["detailed"] + reasoning


@pytest.mark.parametrize(
    ("name", "effort", "it_reasons"),
    [
        ("gpt-4.1-mini", None, False),
        ("gpt-4o", None, False),
        ("gpt-5", "minimal", True),
        ("gpt-5-mini", "minimal", True),
        ("gpt-5-nano-2025-08-07", "minimal", True),
        ("openai/gpt-5-mini", "minimal", True),
        ("gpt-5.1", "none", False),
        ("gpt-5.4-mini", "none", False),
        ("gpt-5.1-2025-11-13", "none", False),
        ("gemini-2.5-flash", "none", False),
        ("google/gemini-2.5-flash-lite", "none", False),
        ("gemini-2.5-pro", "low", True),
        ("gemini-3-pro-preview", "low", True),
        ("gemini-2.0-flash", None, False),
        ("gpt-5-chat-latest", None, False),
        ("gpt-5.1-chat-latest", None, False),
        ("gpt-5-codex", "low", True),
        ("gpt-5.1-codex-mini", "low", True),
        ("gpt-5-pro", None, True),
        ("o3-mini", "low", True),
        ("o4-mini-2025-04-16", "low", True),
        ("o1-mini", None, True),
        ("o1-preview", None, True),
        ("openai.gpt-oss-20b-1:0", "low", True),
        ("gpt-oss:20b", "low", True),
        ("deepseek/deepseek-r1", None, True),
        ("deepseek-reasoner", None, True),
        ("qwen3-4b-thinking", None, True),
        ("offline-extractive", None, False),
        ("ollama-3", None, False),
    ],
)
def test_effort_is_the_least_that_a_model_is_known_to_take(name: str, effort: str | None, it_reasons: bool) -> None:
    assert reasoning_effort(name) == effort
    assert reasons(name) is it_reasons
