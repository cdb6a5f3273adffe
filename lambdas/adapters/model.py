"""The model behind OpenAI's chat completions API, at OpenAI or at any endpoint that speaks the same protocol."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice

from trace_summarization.errors import (
    InvalidModelOutput,
    ModelOutputCutOff,
    ModelRateLimited,
    ModelRefused,
    ModelRejectedRequest,
    ModelUnavailable,
    TraceSummarizationError,
)
from trace_summarization.models import ModelUsage
from trace_summarization.ports import ModelAnswer
from trace_summarization.prompts import RESPONSE_SCHEMA, RESPONSE_SCHEMA_NAME

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
# Several times what a detailed summary takes; a bound on what a runaway answer costs.
MAX_OUTPUT_TOKENS: Final = 8_192
_CONNECT_TIMEOUT_SECONDS = 10.0

# The first gpt-5 models reason by default and take `minimal`; gpt-5.1 and later reject it and do not reason by default.
_TAKES_MINIMAL_EFFORT = re.compile(r"gpt-5(-mini|-nano)?(-\d{4}-\d{2}-\d{2})?")
_ERROR_WORD = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_CONTENT_FILTER = "content_filter"
_REQUEST_TIMEOUT_STATUS = 408
_RATE_LIMIT_STATUS = 429
_SERVER_ERROR_STATUS = 500


class OpenAiSummaryModel:
    """A `SummaryModel` over HTTP. One request per answer: retrying is left to the state machine.

    `base_url` ends in the API's version (`https://api.openai.com/v1`); `provider` says who answers, by default the
    host. Messages of the errors raised hold status and type only: what providers add can quote the prompt.
    """

    def __init__(self, api_key: str, base_url: str = DEFAULT_BASE_URL, provider: str = "") -> None:
        self._provider = provider or urlsplit(base_url).hostname or base_url
        self._api_key = api_key
        self._base_url = base_url
        self._connect()

    @property
    def provider(self) -> str:
        """Who answers."""
        return self._provider

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._caller.shutdown(wait=False)

    def answer(self, model: str, system: str, user: str, timeout_seconds: float) -> ModelAnswer:
        """Ask once. `timeout_seconds` bounds the whole call. Raises the `Model*` errors."""
        # The client's own timeout bounds each wait for data, and gateways drip blanks to keep a connection open.
        call = self._caller.submit(self._ask, model, system, user, timeout_seconds)
        try:
            completion = call.result(timeout_seconds)
        except FutureTimeoutError:
            self._abandon()
            raise ModelUnavailable(f"no answer within {timeout_seconds:.0f} s") from None
        # Chained errors would carry the provider's message, which can quote the prompt, into logs: hence `from None`.
        except (openai.APIError, json.JSONDecodeError) as error:
            raise _typed(error, timeout_seconds) from None
        content = _content(completion)
        usage = completion.usage
        return ModelAnswer(
            content,
            ModelUsage(
                model=completion.model if isinstance(completion.model, str) and completion.model else model,
                input_tokens=_count(usage.prompt_tokens) if usage else None,
                output_tokens=_count(usage.completion_tokens) if usage else None,
            ),
        )

    def _ask(self, model: str, system: str, user: str, timeout_seconds: float) -> ChatCompletion:
        return self._client.chat.completions.create(
            model=model,
            messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": RESPONSE_SCHEMA_NAME, "strict": True, "schema": RESPONSE_SCHEMA},
            },
            max_completion_tokens=MAX_OUTPUT_TOKENS,
            reasoning_effort="minimal" if takes_minimal_effort(model) else openai.omit,
            timeout=openai.Timeout(timeout_seconds, connect=min(_CONNECT_TIMEOUT_SECONDS, timeout_seconds)),
        )

    def _connect(self) -> None:
        self._client = openai.OpenAI(api_key=self._api_key, base_url=self._base_url, max_retries=0)
        self._caller = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    def _abandon(self) -> None:
        """Leave a call that takes too long behind, with its connection and thread, and start afresh."""
        self.close()
        self._connect()


def takes_minimal_effort(model: str) -> bool:
    """Whether a model, named plainly or behind a gateway's prefix, takes `reasoning_effort: minimal`."""
    return _TAKES_MINIMAL_EFFORT.fullmatch(model.rpartition("/")[2]) is not None


def _content(completion: object) -> str:
    # The client checks nothing: a proxy's HTML page comes as a string, missing fields as None.
    if not isinstance(completion, ChatCompletion):
        raise InvalidModelOutput("the answer is not a chat completion")
    choices = completion.choices
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Choice):
        raise InvalidModelOutput("the answer holds no choice")
    choice = choices[0]
    message = choice.message
    if message is None:
        raise InvalidModelOutput("the answer's choice holds no message")
    if choice.finish_reason == _CONTENT_FILTER:
        raise ModelRefused("stopped by the provider's content filter")
    if message.refusal:
        raise ModelRefused("the model refused")
    if choice.finish_reason == "length":
        raise ModelOutputCutOff(f"the answer was cut off at {MAX_OUTPUT_TOKENS} tokens or the model's own limit")
    if not isinstance(message.content, str) or not message.content.strip():
        raise InvalidModelOutput("the answer holds no content")
    return message.content


def _typed(error: openai.APIError | json.JSONDecodeError, timeout_seconds: float) -> TraceSummarizationError:
    if isinstance(error, openai.APITimeoutError):
        return ModelUnavailable(f"no answer within {timeout_seconds:.0f} s")
    if isinstance(error, openai.APIConnectionError):
        return ModelUnavailable(f"connection failed ({type(error.__cause__ or error).__name__})")
    if not isinstance(error, openai.APIStatusError):
        return InvalidModelOutput("the answer is not a JSON chat completion")
    what = ", ".join([f"status {error.status_code}", *_error_words(error)])
    if error.status_code == _RATE_LIMIT_STATUS:
        return ModelRateLimited(what)
    if error.status_code >= _SERVER_ERROR_STATUS or error.status_code == _REQUEST_TIMEOUT_STATUS:
        return ModelUnavailable(what)
    if _CONTENT_FILTER in (error.code, error.type):
        return ModelRefused(what)
    return ModelRejectedRequest(what)


def _error_words(error: openai.APIStatusError) -> list[str]:
    """The error's type and code as the provider states them, where they are single words."""
    words = (word for word in (error.type, error.code) if isinstance(word, str) and _ERROR_WORD.fullmatch(word))
    return list(dict.fromkeys(words))


def _count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0 else None
