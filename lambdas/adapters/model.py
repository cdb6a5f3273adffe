"""The model behind OpenAI's chat completions API, at OpenAI or at any endpoint that speaks the same protocol."""

import json
import random
import time
from datetime import UTC, datetime
from typing import Any, Final

import openai
from openai.types.chat import ChatCompletion

from adapters.model_answers import (
    answer_in,
    is_unbilled,
    retry_after_seconds,
    typed_error,
    usage_in,
)
from adapters.model_client import Headers, ModelClient
from adapters.model_dialects import Dialect
from adapters.secrets import ModelSecret
from trace_summarization import constants as c
from trace_summarization.errors import (
    BudgetExhausted,
    ModelInputTooLong,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    SpendingUnavailable,
    TraceSummarizationError,
)
from trace_summarization.models import ModelUsage
from trace_summarization.ports import ModelAnswer, ModelRequest, Spending

_FLEX: Final = "flex"
_JITTER: Final = random.SystemRandom()


class OpenAiSummaryModel:
    """A `SummaryModel` over HTTP: asks, and asks again as far as the time and the budget allow.

    Again after 429 and 5xx, twice, when the endpoint says or after a short wait; at the standard tier where flex did
    not answer; and without what the endpoint does not take, which is remembered per model. What cannot succeed within
    the time is raised at once, for the state machine to retry. Messages of the errors hold status and type only.
    """

    def __init__(self, endpoint: ModelSecret) -> None:
        self._endpoint = endpoint
        self._dialects: dict[str, Dialect] = {}
        self._client = ModelClient(endpoint)

    @property
    def provider(self) -> str:
        """Who answers."""
        return self._endpoint.provider

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def answer(self, request: ModelRequest, timeout_seconds: float, spending: Spending) -> ModelAnswer:
        """Ask for a summary. See `SummaryModel.answer`."""
        question = _Question(request, timeout_seconds, self._endpoint)
        while True:
            dialect = self._dialects.get(request.model, Dialect())
            parameters = dialect.parameters(request, question.tier)
            try:
                completion, usage = self._paid_call(question, parameters, spending)
            except (BudgetExhausted, SpendingUnavailable):
                if question.failure is not None and question.may_have_paid:
                    raise question.failure from None
                raise
            # Chained errors would carry the provider's message, which can quote the prompt, into logs: `from None`.
            except (openai.APIError, json.JSONDecodeError, TimeoutError) as error:
                failure = typed_error(error, question.seconds_for_last_call)
                question.failed(failure, paid=not is_unbilled(error))
                adapted = _adapted(dialect, error, failure, parameters)
                if adapted is not None:
                    self._dialects[request.model] = adapted
                elif not question.falls_back_from_flex(parameters) and not question.waits_to_retry(error):
                    raise failure from None
            else:
                return answer_in(completion, usage)

    def _paid_call(
        self, question: "_Question", parameters: dict[str, Any], spending: Spending
    ) -> tuple[ChatCompletion, ModelUsage]:
        """One HTTP request, with its money set aside before and accounted for after."""
        request, tier = question.request, parameters.get("service_tier")
        reservation = spending.reserve(
            request.model, request.input_tokens, request.max_output_tokens, tier, question.seconds_for_budget
        )
        timeout = question.seconds_for_call(tier)  # only now: a budget that others hold is waited for
        if timeout <= 0:
            reservation.release()
            raise ModelUnavailable("no time was left once the budget was granted: not asked")
        try:
            completion = self._call(parameters, timeout)
        except BaseException as error:
            (reservation.release if is_unbilled(error) else reservation.keep)()
            raise
        usage = usage_in(completion, request.model)
        if usage.input_tokens is None or usage.output_tokens is None:
            reservation.keep()
        else:
            reservation.settle(usage)
        return completion, usage

    def _call(self, parameters: dict[str, Any], timeout_seconds: float) -> ChatCompletion:
        def create(client: openai.OpenAI, timeout: openai.Timeout, headers: Headers) -> ChatCompletion:
            completion: ChatCompletion = client.chat.completions.create(
                **parameters, timeout=timeout, extra_headers=headers
            )
            return completion

        return self._client.call(create, timeout_seconds)


class _Question:
    """One `answer`, over all its HTTP requests: what is left of its time, its retries and its tier."""

    def __init__(self, request: ModelRequest, timeout_seconds: float, endpoint: ModelSecret) -> None:
        self.request = request
        self.tier = endpoint.service_tier or endpoint.standard_tier
        self.failure: TraceSummarizationError | None = None
        self.may_have_paid = False
        self.seconds_for_last_call = 0.0
        self._ends = time.monotonic() + timeout_seconds
        self._retries = 0
        self._standard_tier = endpoint.standard_tier

    @property
    def seconds_left(self) -> float:
        """Until the answer is no longer waited for."""
        return max(0.0, self._ends - time.monotonic())

    @property
    def seconds_for_budget(self) -> float:
        """How long the next call may wait for its money: the rest is enough for an answer."""
        return max(self.seconds_left - c.MODEL_ANSWER_SECONDS, self.seconds_left / 2)

    def seconds_for_call(self, tier: str | None) -> float:
        """How long the next call may take: the time left, or flex's share of it."""
        self.seconds_for_last_call = self.seconds_left * (c.FLEX_SHARE_OF_TIME if tier == _FLEX else 1.0)
        return self.seconds_for_last_call

    def failed(self, failure: TraceSummarizationError, paid: bool) -> None:
        """Remember how a request ended."""
        self.failure = failure
        self.may_have_paid = self.may_have_paid or paid

    def falls_back_from_flex(self, parameters: dict[str, Any]) -> bool:
        """Whether to go on at the standard tier: once, after flex had no capacity or took too long."""
        if parameters.get("service_tier") != _FLEX or not isinstance(self.failure, ModelRateLimited | ModelUnavailable):
            return False
        self.tier = self._standard_tier
        return self.seconds_left >= c.MODEL_SHORTEST_ANSWER_SECONDS

    def waits_to_retry(self, error: Exception) -> bool:
        """Wait for the next try and say yes; or say no, when it cannot help or an answer after it would be too late."""
        if not isinstance(error, openai.APIStatusError) or self._retries == c.MODEL_RETRIES:
            return False
        if not isinstance(self.failure, ModelRateLimited | ModelUnavailable):
            return False
        wait = retry_after_seconds(error, datetime.now(UTC))
        if wait is None:
            wait = c.MODEL_RETRY_WAIT_SECONDS * 2**self._retries * _JITTER.uniform(0.5, 1.0)
        if wait + c.MODEL_SHORTEST_ANSWER_SECONDS > self.seconds_left:
            return False
        self._retries += 1
        time.sleep(wait)
        return True


def _adapted(
    dialect: Dialect, error: Exception, failure: TraceSummarizationError, parameters: dict[str, Any]
) -> Dialect | None:
    """The dialect to go on with after an error that rejects a parameter, not the request's length or content."""
    if not isinstance(error, openai.APIStatusError) or isinstance(failure, ModelInputTooLong | ModelRefused):
        return None
    return dialect.adapted_to(error, parameters)
