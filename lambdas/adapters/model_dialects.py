"""What an endpoint takes of OpenAI's chat completions protocol, learned from what it rejects.

Everything is sent first in OpenAI's present form. Of an error that names a parameter the endpoint's dialect for that
model is learned: the parameter is renamed or left out, for as long as the client lives. Every step is taken once and
for good, so that there is an end to them; only the renaming is taken back once, when the new name is rejected too.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import openai

from adapters.rejections import complaint_about, head_of, parameter_named_in
from trace_summarization.ports import ChatMessage, ModelRequest
from trace_summarization.prompts import RESPONSE_SCHEMA, RESPONSE_SCHEMA_NAME, schema_prompt, sized_response_schema
from trace_summarization.requests import reasoning_effort

LimitParameter = Literal["max_completion_tokens", "max_tokens"]
AnswerFormat = Literal["json_schema", "json_object", "text"]

# OpenAI and most gateways answer 400, FastAPI servers 422, OpenRouter 404, Ollama and llama.cpp also 500, others 501.
_STATUSES_OF_DIALECT: Final = (400, 404, 422, 500, 501)
_LIMIT_RENAMINGS: Final = 2  # to the older name and back


@dataclass(frozen=True)
class Dialect:
    """How one model at one endpoint is asked."""

    answer_format: AnswerFormat = "json_schema"
    takes_list_sizes: bool = True
    limit_parameter: LimitParameter = "max_completion_tokens"
    limit_renamings: int = 0
    takes_effort: bool = True
    takes_service_tier: bool = True
    takes_system_role: bool = True

    def parameters(self, request: ModelRequest, service_tier: str | None) -> dict[str, Any]:
        """The request's parameters, by their names in the protocol."""
        parameters: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": each.role, "content": each.content} for each in self._messages(request)],
            self.limit_parameter: request.max_output_tokens,
        }
        if self.answer_format == "json_schema":
            schema = sized_response_schema(request.mode) if self.takes_list_sizes else RESPONSE_SCHEMA
            strict = {"name": RESPONSE_SCHEMA_NAME, "strict": True, "schema": schema}
            parameters["response_format"] = {"type": "json_schema", "json_schema": strict}
        elif self.answer_format == "json_object":
            parameters["response_format"] = {"type": "json_object"}
        effort = reasoning_effort(request.model)
        if self.takes_effort and effort is not None:
            parameters["reasoning_effort"] = effort
        if self.takes_service_tier and service_tier is not None:
            parameters["service_tier"] = service_tier
        return parameters

    def _messages(self, request: ModelRequest) -> tuple[ChatMessage, ...]:
        system, user, *further = request.messages
        if self.answer_format != "json_schema":
            system = replace(system, content=system.content + schema_prompt())
        if self.takes_system_role:
            return (system, user, *further)
        return (replace(user, content=f"{system.content}\n{user.content}"), *further)

    def with_limit_renamed(self) -> "Dialect | None":
        """The limit under its other name; None once both names were rejected."""
        if self.limit_renamings == _LIMIT_RENAMINGS:
            return None
        is_older = self.limit_parameter == "max_tokens"
        other: LimitParameter = "max_completion_tokens" if is_older else "max_tokens"
        return replace(self, limit_parameter=other, limit_renamings=self.limit_renamings + 1)

    def adapted_to(self, error: openai.APIStatusError, sent: Mapping[str, Any]) -> "Dialect | None":
        """The dialect that leaves out what the error rejects; None when it rejects nothing of what was sent."""
        if error.status_code not in _STATUSES_OF_DIALECT:
            return None
        named = parameter_named_in(error)
        text = head_of(error)
        for rule in _RULES:
            if rule.is_sent(sent) and rule.is_meant_by(named, text):
                adapted = rule.without(self)
                if adapted is not None:
                    return adapted
        return None


@dataclass(frozen=True)
class _Rule:
    """One thing that an endpoint may not take: how its errors name it, and how to do without; None if in no way."""

    parameter: str  # pattern of the parameter that an error names in its field for it
    names: str  # pattern of what the error's text calls it where it names none, beside a complaint
    is_sent: Callable[[Mapping[str, Any]], bool]
    without: Callable[[Dialect], Dialect | None]
    complaints: str | None = None  # pattern of further texts that mean it
    detail: str | None = None  # pattern of what its text has to say also where the error names the parameter
    of_values: str | None = None  # pattern of what an error says that takes the parameter, but not its value

    def is_meant_by(self, named: str, text: str) -> bool:
        """Whether an error that names this parameter, or none and says this, is about it."""
        if self.of_values is not None and re.search(self.of_values, text, re.IGNORECASE):
            return False
        if self.detail is not None and not re.search(self.detail, text, re.IGNORECASE):
            return False
        if named:
            return re.match(self.parameter, named) is not None
        near = complaint_about(self.names)
        meant = near if self.complaints is None else f"{near}|{self.complaints}"
        return re.search(meant, text, re.IGNORECASE | re.DOTALL) is not None


_LIST_SIZES: Final = r"\b(min|max)Items\b|schema contains features"


def _sends_list_sizes(sent: Mapping[str, Any]) -> bool:
    strict = sent.get("response_format", {}).get("json_schema")
    return strict is not None and strict["schema"] is not RESPONSE_SCHEMA


_LESS_STRICT: Final[dict[AnswerFormat, AnswerFormat]] = {"json_schema": "json_object", "json_object": "text"}
_TOO_HIGH: Final = r"too (large|high|big|many)|at most|maximum|exceeds?\b|(less|lower|smaller|greater|larger) than|<="
_RULES: Final = (
    # Azure before API version 2024-09-01, vLLM before 0.6.4, LiteLLM in front of either.
    _Rule(
        r"max_completion_tokens",
        r"max_completion_tokens",
        lambda sent: "max_completion_tokens" in sent,
        lambda dialect: dialect.with_limit_renamed(),
        of_values=_TOO_HIGH,
    ),
    # Models that reason, at OpenAI and Azure: a gateway before them may have rejected the other name for once.
    _Rule(
        r"max_tokens",
        r"\bmax_tokens",
        lambda sent: "max_tokens" in sent,
        lambda dialect: dialect.with_limit_renamed(),
        of_values=_TOO_HIGH,
    ),
    _Rule(
        r"service_tier",
        r"service.?tier|\bflex\b",
        lambda sent: "service_tier" in sent,
        lambda dialect: replace(dialect, takes_service_tier=False),
    ),
    # Ollama speaks of thinking.
    _Rule(
        r"reasoning",
        r"reasoning|\bthink(ing)?\b",
        lambda sent: "reasoning_effort" in sent,
        lambda dialect: replace(dialect, takes_effort=False),
    ),
    # Azure, fine-tuned models, Anthropic's and Bedrock's; vLLM's xgrammar names no keyword.
    _Rule(
        r"response_format|text\.format",
        _LIST_SIZES,
        _sends_list_sizes,
        lambda dialect: replace(dialect, takes_list_sizes=False),
        detail=_LIST_SIZES,
    ),
    # Azure before API version 2024-08-01, models without structured outputs; OpenRouter names no parameter.
    _Rule(
        r"response_format|text\.format",
        r"response.?format|json.?schema|json.?object|structured.?output|\bstrict\b",
        lambda sent: "response_format" in sent,
        lambda dialect: replace(dialect, answer_format=_LESS_STRICT[dialect.answer_format]),
        complaints=r"can handle the requested parameters|(fail|error)[^.]{0,40}\bgrammar",
    ),
    # o1-mini, and chat templates such as Gemma's and Mistral's.
    _Rule(
        r"messages\[0\]\.role",
        r"system (role|messages?)\b|role 'system'|'system' (with|role)",
        lambda sent: sent["messages"][0]["role"] == "system",
        lambda dialect: replace(dialect, takes_system_role=False),
        complaints="roles must alternate|system messages? (is|are) not",
    ),
)
