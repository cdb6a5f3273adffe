"""What an endpoint's answers and errors mean: content and usage, or an error by type.

Messages of errors hold status and single words only: what providers add can quote the prompt.
"""

import email.utils
import json
import re
from datetime import UTC, datetime
from typing import Any, Final

import openai
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice

from trace_summarization.errors import (
    InvalidModelOutput,
    ModelAnsweredNothing,
    ModelInputTooLong,
    ModelRateLimited,
    ModelRefused,
    ModelRejectedRequest,
    ModelUnavailable,
    TraceSummarizationError,
)
from trace_summarization.models import ModelUsage
from trace_summarization.ports import ModelAnswer

_REQUEST_TIMEOUT_STATUS = 408
_TOO_LARGE_STATUS = 413
_RATE_LIMIT_STATUS = 429
_FLEX_CAPACITY_STATUS = 498  # Groq's
_SERVER_ERROR_STATUS = 500
_NOT_IMPLEMENTED_STATUS = 501
# Whoever answers these has not run the model, or does not bill it. Other 5xx come from gateways that gave up on a model
# which may go on and bill: 502, 504, Cloudflare's 520 to 527.
_UNBILLED_SERVER_ERRORS: Final = (500, 501, 503, 529)
_NEVER_CONNECTED: Final = ("ConnectError", "ConnectTimeout", "PoolTimeout")  # of whichever HTTP library openai uses

_ERROR_WORD = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_READ_OF_AN_ERROR: Final = 2_000  # characters
_CONTENT_FILTER = "content_filter"
_REFUSED: Final = re.compile(
    # OpenAI and Azure; Azure within, also behind LiteLLM; a prompt that o-series models refuse.
    r"\bcontent_filter\b|ResponsibleAIPolicyViolation|ContentPolicyViolation|content management policy"
    r"|content_policy_violation|\binvalid_prompt\b",
    re.IGNORECASE,
)
_TOO_LONG: Final = re.compile(
    # OpenAI, vLLM, llama.cpp and Ollama, LiteLLM, Anthropic and Bedrock behind gateways; too long for OpenAI's JSON.
    r"context_length_exceeded|maximum context length|context (window|size|length|limit)|exceed_context_size"
    r"|ContextWindowExceeded|(prompt|input) is too long|string_above_max_length",
    re.IGNORECASE,
)
# A request that is larger than all tokens per minute is answered 429, however long one waits.
_TOO_LARGE_FOR_ITS_LIMIT: Final = re.compile(r"request too large", re.IGNORECASE)
_QUOTA_EXHAUSTED: Final = "insufficient_quota"
_THINKING: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)  # of models whose server does not separate it


def answer_in(completion: ChatCompletion, usage: ModelUsage) -> ModelAnswer:
    """The answer that a completion holds. Raises ModelRefused, ModelAnsweredNothing or InvalidModelOutput."""
    # The client checks nothing: a proxy's HTML page comes as a string, missing fields as None.
    if not isinstance(completion, ChatCompletion):
        raise InvalidModelOutput("the answer is not a chat completion")
    choices = completion.choices
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Choice):
        raise ModelAnsweredNothing("the answer holds no choice")
    choice = choices[0]
    message = choice.message
    if message is None:
        raise ModelAnsweredNothing("the answer's choice holds no message")
    if choice.finish_reason == _CONTENT_FILTER:
        raise ModelRefused("stopped by the provider's content filter")
    if message.refusal:
        raise ModelRefused("the model refused")
    content = _THINKING.sub("", _well_formed(message.content)) if isinstance(message.content, str) else ""
    is_cut_off = choice.finish_reason == "length"
    if not content.strip() and not is_cut_off:
        raise ModelAnsweredNothing("the answer holds no content")
    return ModelAnswer(content, usage, is_cut_off)


def usage_in(completion: object, requested_model: str) -> ModelUsage:
    """What the completion says that it took; None for what it does not say.

    Zero tokens of input, or of an answer that holds text, are not said: endpoints report zeros for what they did not
    count. Gemini's leave thinking out of `completion_tokens`, which is billed as output and stands in `total_tokens`.
    """
    usage = getattr(completion, "usage", None)
    model = getattr(completion, "model", None)
    tier = getattr(completion, "service_tier", None)
    return ModelUsage(
        model=model if isinstance(model, str) and model else requested_model,
        input_tokens=_count(getattr(usage, "prompt_tokens", None)) or None,
        output_tokens=_output_tokens(usage, _holds_text(completion)),
        cached_input_tokens=_count(getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)),
        service_tier=tier if isinstance(tier, str) and _ERROR_WORD.fullmatch(tier) else None,
    )


def typed_error(
    error: openai.APIError | json.JSONDecodeError | TimeoutError, timeout_seconds: float
) -> TraceSummarizationError:
    """The error that a failed call is; `timeout_seconds` is what it was given."""
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return ModelUnavailable(f"no answer within {timeout_seconds:.0f} s")
    if isinstance(error, openai.APIConnectionError):
        return ModelUnavailable(f"connection failed ({type(error.__cause__ or error).__name__})")
    if not isinstance(error, openai.APIStatusError):
        return InvalidModelOutput("the answer is not a JSON chat completion")
    return _typed_status(error)


def is_unbilled(error: BaseException) -> bool:
    """Whether a failed call is not billed: refused before the model ran, or never sent.

    Azure bills what it answers with 408, and prompts that its content filter refuses with 400.
    """
    if isinstance(error, openai.APIStatusError):
        if error.status_code >= _SERVER_ERROR_STATUS:
            return error.status_code in _UNBILLED_SERVER_ERRORS
        return error.status_code != _REQUEST_TIMEOUT_STATUS and not isinstance(_typed_status(error), ModelRefused)
    return isinstance(error, openai.APIConnectionError) and type(error.__cause__).__name__ in _NEVER_CONNECTED


def retry_after_seconds(error: openai.APIStatusError, now: datetime) -> float | None:
    """How long the answer asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date; else None.

    A date is compared with the answer's own `Date` where it has one, else with `now`.
    """
    headers = error.response.headers
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1_000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    at = _http_date(value)
    return None if at is None else max(0.0, (at - (_http_date(headers.get("date")) or now)).total_seconds())


def _typed_status(error: openai.APIStatusError) -> TraceSummarizationError:
    status = error.status_code
    what = ", ".join([f"status {status}", *_error_words(error)])
    text = error.response.text[:_READ_OF_AN_ERROR]
    if status == _RATE_LIMIT_STATUS:
        if _QUOTA_EXHAUSTED in (error.code, error.type):
            return ModelRejectedRequest(what)
        return ModelInputTooLong(what) if _TOO_LARGE_FOR_ITS_LIMIT.search(text) else ModelRateLimited(what)
    if status == _FLEX_CAPACITY_STATUS:
        return ModelRateLimited(what)
    if status == _TOO_LARGE_STATUS:
        return ModelInputTooLong(what)
    if status == _REQUEST_TIMEOUT_STATUS or (status >= _SERVER_ERROR_STATUS and status != _NOT_IMPLEMENTED_STATUS):
        return ModelUnavailable(what)
    if _REFUSED.search(text):
        return ModelRefused(what)
    return ModelInputTooLong(what) if _TOO_LONG.search(text) else ModelRejectedRequest(what)


def _error_words(error: openai.APIStatusError) -> list[str]:
    """The error's type and code as the provider states them, where they are single words."""
    words = (word for word in (error.type, error.code) if isinstance(word, str) and _ERROR_WORD.fullmatch(word))
    return list(dict.fromkeys(words))


def _output_tokens(usage: object, holds_text: bool) -> int | None:
    stated = _count(getattr(usage, "completion_tokens", None))
    total, prompt = _count(getattr(usage, "total_tokens", None)), _count(getattr(usage, "prompt_tokens", None))
    beyond_input = 0 if total is None or prompt is None else total - prompt
    output = max(stated or 0, beyond_input)
    if output > 0:
        return output
    return None if holds_text else stated


def _holds_text(completion: object) -> bool:
    choices = getattr(completion, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    return bool(getattr(message, "content", None))


def _well_formed(text: str) -> str:
    """The text without half surrogate pairs: JSON can hold them, and no request, in which a repair shows the answer."""
    return text.encode("utf-8", "replace").decode()


def _count(tokens: Any) -> int | None:
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0 else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _http_date(value: str | None) -> datetime | None:
    try:
        at = email.utils.parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
