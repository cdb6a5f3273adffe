"""Requests to the model: what is asked, how many tokens that is, and how long the answer may be."""

import json
import re
from typing import Final

from trace_summarization import constants as c
from trace_summarization.models import Mode
from trace_summarization.ports import ChatMessage, ModelAnswer, ModelRequest
from trace_summarization.prompts import repair_prompt, sized_response_schema, system_prompt, user_prompt
from trace_summarization.tokens import count_tokens, with_margin

# OpenAI, "How to count tokens with tiktoken": three per message and one for its role; three that begin the answer.
_TOKENS_PER_MESSAGE: Final = 4
_TOKENS_PER_ANSWER_START: Final = 3

_NO_REASONING: Final = "none"
# Effort by model (OpenAI API reference, `reasoning_effort`): the least that each family takes. Models before gpt-5.1
# take no `none`; gpt-5.1 and later take no `minimal`; chat, codex and pro models take neither. Google's endpoint takes
# efforts too (Gemini API, "OpenAI compatibility"): Flash 2.5 can do without thinking, Pro and Gemini 3 cannot.
_EFFORT_BY_MODEL: Final = (
    (re.compile(r"gpt-5(-mini|-nano)?(-\d{4}-\d{2}-\d{2})?"), "minimal"),
    (re.compile(r"gpt-5\.\d+(-mini|-nano)?(-\d{4}-\d{2}-\d{2})?"), _NO_REASONING),
    (re.compile(r"gemini-2\.5-flash.*"), _NO_REASONING),
    (re.compile(r"gemini-(2\.5-pro|[3-9]).*"), "low"),
    (re.compile(r"(o1|o3|o3-mini|o4-mini)(-\d{4}-\d{2}-\d{2})?|gpt-5(\.\d+)?-codex.*|gpt-oss.*"), "low"),
)
_REASONS = re.compile(
    r"(?!.*chat)(gpt-5.*|o\d.*)|gpt-oss.*|gemini-(2\.5|[3-9]).*|.*([-.:]r1|reason|think|qwq).*", re.IGNORECASE
)
_SHORTER = "it was cut off because it is too long; write fewer and shorter bullets and notes and a smaller diagram"


def summary_request(text: str, mode: Mode, model: str) -> ModelRequest:
    """The request for a summary of a rendered trace."""
    messages = (ChatMessage("system", system_prompt(mode)), ChatMessage("user", user_prompt(text)))
    return ModelRequest(model, mode, messages, request_tokens(model, mode, messages), max_output_tokens(model, mode))


def repair_request(request: ModelRequest, answer: ModelAnswer, problem: str) -> ModelRequest:
    """The request again, followed by the answer that cannot be used and what is wrong with it.

    A model that was cut off before its first word has reasoned, whatever its name or effort: it gets room for that.
    """
    shown = answer.content[: c.MAX_REPAIRED_ANSWER_LENGTH].strip()
    turns = [ChatMessage("assistant", shown)] if shown else []
    turns.append(ChatMessage("user", repair_prompt(_SHORTER if answer.is_cut_off else problem)))
    reasoned = answer.is_cut_off and not shown and not reasons(request.model)
    added = sum(_message_tokens(turn.content) for turn in turns)
    return ModelRequest(
        request.model,
        request.mode,
        (*request.messages, *turns),
        request.input_tokens + with_margin(added, request.model),
        request.max_output_tokens + (c.REASONING_OUTPUT_TOKENS if reasoned else 0),
    )


def request_tokens(model: str, mode: Mode, messages: tuple[ChatMessage, ...]) -> int:
    """Input tokens that the model's provider is expected to count: all messages, the schema, what frames them.

    The schema counts wherever it is sent: as a parameter it is billed as input, else it stands in the instructions.
    """
    counted = sum(_message_tokens(message.content) for message in messages)
    schema = count_tokens(json.dumps(sized_response_schema(mode)))
    return with_margin(counted + schema + _TOKENS_PER_ANSWER_START, model)


def max_output_tokens(model: str, mode: Mode) -> int:
    """Where an answer is cut off: a mode's limit, and what the reasoning may take of a model that is asked to."""
    return c.MAX_OUTPUT_TOKENS[mode] + (c.REASONING_OUTPUT_TOKENS if reasons(model) else 0)


def expected_output_tokens(model: str, mode: Mode) -> int:
    """Output tokens of one summary, for the price of a dry run: the answer's and those of the model's reasoning."""
    effort = reasoning_effort(model)
    reasoning = c.EXPECTED_REASONING_TOKENS_OF_OTHERS if effort is None else c.EXPECTED_REASONING_TOKENS[effort]
    return c.EXPECTED_OUTPUT_TOKENS[mode] + (reasoning if reasons(model) else 0)


def reasons(model: str) -> bool:
    """Whether a model, named plainly or behind a gateway's prefix, may reason at the effort that it is asked with."""
    return reasoning_effort(model) != _NO_REASONING and _REASONS.fullmatch(_plain_name(model)) is not None


def reasoning_effort(model: str) -> str | None:
    """The least effort that a model is known to take as `reasoning_effort`; None where it takes none."""
    name = _plain_name(model)
    return next((effort for pattern, effort in _EFFORT_BY_MODEL if pattern.fullmatch(name)), None)


def _plain_name(model: str) -> str:
    # Gateways put the provider before the name: `openai/gpt-5`, `openai.gpt-oss-20b-1:0`.
    return model.rpartition("/")[2].removeprefix("openai.")


def _message_tokens(content: str) -> int:
    return count_tokens(content) + _TOKENS_PER_MESSAGE
