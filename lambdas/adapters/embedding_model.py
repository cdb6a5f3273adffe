"""Embedding models behind OpenAI's embeddings API, at OpenAI or at any endpoint that speaks the same protocol."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import openai

from adapters.embedding_answers import embedding_error, input_tokens_in, subject_of, vectors_in
from adapters.model_answers import retry_after_seconds
from adapters.model_client import Headers, ModelClient
from adapters.secrets import ModelSecret
from embedding.models import EmbeddingModelName
from embedding.ports import EmbeddingAnswer
from trace_summarization import constants as c
from trace_summarization.errors import (
    EmbeddingInputRejected,
    InvalidModelOutput,
    ModelAnsweredNothing,
    ModelRateLimited,
    ModelUnavailable,
    TraceSummarizationError,
)

_JITTER: Final = random.SystemRandom()
_MOST_DOUBLINGS: Final = 10


class OpenAiEmbeddingModel:
    """An `EmbeddingModel` over HTTP: asks, and asks again as far as the time allows.

    Again after 429, when the endpoint says or after a longer wait each time; a few times after 5xx and lost
    connections, but not after a time-out, since the next would come as well; twice where the answer is not one vector
    per text; and in the form that the endpoint takes, which is remembered per model: with
    `dimensions` where vectors come back too long, without `encoding_format` where that is rejected. Messages of the
    errors hold status and type only.
    """

    def __init__(self, endpoint: ModelSecret) -> None:
        self._client = ModelClient(endpoint)
        self._dialects: dict[EmbeddingModelName, _Dialect] = {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def embed(
        self, model: EmbeddingModelName, texts: Sequence[str], seconds_left: Callable[[], float]
    ) -> EmbeddingAnswer:
        """Ask for the texts' vectors. See `EmbeddingModel.embed`.

        Raises ModelRejectedRequest when the endpoint's key, quota or address is at fault or it cannot make vectors of
        that size, EmbeddingModelUnknown when it has no such model.
        """
        dialect = self._dialects.get(model, _Dialect(model.native_dimensions not in (None, model.dimensions)))
        patience = _Patience(seconds_left)
        billed: list[int | None] = []
        while True:
            parameters = dialect.parameters(model, texts)
            timeout = patience.seconds_for_request()
            # Chained errors would carry the provider's message, which can quote the texts, into logs: `from None`.
            try:
                answer = self._call(parameters, timeout)
                billed.append(input_tokens_in(answer))
                vectors = vectors_in(answer, len(texts))
            except (openai.APIError, json.JSONDecodeError, UnicodeDecodeError, RecursionError, TimeoutError) as error:
                failure = embedding_error(error, parameters, timeout)
                adapted = dialect.adapted_to(error, failure, parameters)
                if adapted is not None:
                    dialect = adapted
                elif not patience.waits_after(failure, error):
                    raise failure from None
            except (InvalidModelOutput, ModelAnsweredNothing) as failure:
                if not patience.waits_after(failure):
                    raise
            else:
                is_too_long = any(len(vector) > model.dimensions for vector in vectors)
                dialect = replace(dialect, is_proven=True)
                if not is_too_long or dialect.sends_dimensions:
                    self._dialects[model] = dialect
                    return EmbeddingAnswer(vectors, _sum_of_known(billed))
                dialect = replace(dialect, sends_dimensions=True)
                self._dialects[model] = dialect

    def _call(self, parameters: Mapping[str, Any], timeout_seconds: float) -> object:
        # Not `client.embeddings.create`: it sends an `encoding_format` also where none is wanted.
        def post(client: openai.OpenAI, timeout: openai.Timeout, headers: Headers) -> object:
            return client.post(
                "/embeddings", cast_to=object, body=dict(parameters), options={"timeout": timeout, "headers": headers}
            )

        return self._client.call(post, timeout_seconds)


@dataclass(frozen=True)
class _Dialect:
    """How one model at one endpoint is asked. Proven once it has answered so."""

    sends_dimensions: bool
    sends_format: bool = True
    is_proven: bool = False

    def parameters(self, model: EmbeddingModelName, texts: Sequence[str]) -> dict[str, Any]:
        """The request's parameters, by their names in the protocol."""
        # JSON can bring half surrogate pairs, and no request can hold them.
        inputs = [text.encode("utf-8", "replace").decode() for text in texts]
        parameters: dict[str, Any] = {"model": model.model, "input": inputs}
        if self.sends_dimensions:
            parameters["dimensions"] = model.dimensions
        if self.sends_format:
            parameters["encoding_format"] = "base64"  # a third of the size of digits, and read at once
        return parameters

    def adapted_to(
        self, error: Exception, failure: TraceSummarizationError, sent: Mapping[str, Any]
    ) -> "_Dialect | None":
        """The dialect without `encoding_format`, when the error rejects that or may do so; else None.

        As long as the model has never answered, a rejection that names nothing may be of either: it is found out.
        """
        if not self.sends_format or not isinstance(error, openai.APIStatusError):
            return None
        subject = subject_of(error, sent)
        is_guess = subject is None and not self.is_proven and isinstance(failure, EmbeddingInputRejected)
        return replace(self, sends_format=False) if subject == "encoding_format" or is_guess else None


class _Patience:
    """One `embed`, over all its requests: what is left of its time, and how long the next wait is.

    All requests together have the time of one, so that a text on which the endpoint breaks does not take what others
    need. Only 429 gives them that time anew: it says that the endpoint works.
    """

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        self._seconds_left = seconds_left
        self._began = time.monotonic()
        self._waits = 0
        self._useless_answers = 0
        self._failures = 0

    def seconds_for_request(self) -> float:
        """How long the next request may take. Raises ModelUnavailable when there is no time for any."""
        seconds = min(self._seconds_left(), self._began + c.EMBEDDING_REQUEST_SECONDS - time.monotonic())
        if seconds <= 0:
            raise ModelUnavailable("no time was left: not asked")
        return seconds

    def waits_after(self, failure: TraceSummarizationError, error: Exception | None = None) -> bool:
        """Wait for the next try and say yes; or say no, when it cannot help or an answer after it would be too late."""
        is_busy = isinstance(failure, ModelRateLimited)
        if not is_busy and not self._may_be_tried_again(failure, error):
            return False
        told = retry_after_seconds(error, datetime.now(UTC)) if isinstance(error, openai.APIStatusError) else None
        wait = self._longer_wait(c.MODEL_RETRY_WAIT_SECONDS)
        if told is not None:
            # What says that there is nothing to wait for gets no request after request either.
            wait = max(told, self._longer_wait(c.EMBEDDING_SHORTEST_RETRY_WAIT_SECONDS))
        until = time.monotonic() + wait + c.EMBEDDING_SHORTEST_ANSWER_SECONDS
        is_too_late = not is_busy and until > self._began + c.EMBEDDING_REQUEST_SECONDS
        if is_too_late or wait + c.EMBEDDING_SHORTEST_ANSWER_SECONDS > self._seconds_left():
            return False
        self._waits += 1
        time.sleep(wait)
        if is_busy:
            self._began = time.monotonic()
        return True

    def _may_be_tried_again(self, failure: TraceSummarizationError, error: Exception | None) -> bool:
        if isinstance(failure, InvalidModelOutput | ModelAnsweredNothing):
            self._useless_answers += 1  # each of them may be billed
            return self._useless_answers <= c.MODEL_RETRIES
        self._failures += 1
        is_timeout = isinstance(error, openai.APITimeoutError | TimeoutError)
        return isinstance(failure, ModelUnavailable) and self._failures <= c.EMBEDDING_RETRIES and not is_timeout

    def _longer_wait(self, first_seconds: float) -> float:
        seconds: float = first_seconds * 2 ** min(self._waits, _MOST_DOUBLINGS)
        return min(seconds, c.EMBEDDING_LONGEST_RETRY_WAIT_SECONDS) * _JITTER.uniform(0.5, 1.0)


def _sum_of_known(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
