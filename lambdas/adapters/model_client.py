"""Calls to one endpoint that speaks OpenAI's API: how it is reached, and that no call takes longer than it may."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import openai

from adapters.secrets import ModelSecret

_CONNECT_TIMEOUT_SECONDS: Final = 10.0
_UNSENT_KEY: Final = "none"  # the client needs one

Headers = Mapping[str, str | openai.Omit]
_Answer = TypeVar("_Answer")


class ModelClient:
    """The `openai` client of an endpoint: one call at a time, repeated by nobody but who calls."""

    def __init__(self, endpoint: ModelSecret) -> None:
        self._endpoint = endpoint
        self._connect()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._caller.shutdown(wait=False)

    def call(self, ask: Callable[[openai.OpenAI, openai.Timeout, Headers], _Answer], timeout_seconds: float) -> _Answer:
        """What `ask` returns, which sends one request with this timeout and these headers.

        Raises what the client raises, and TimeoutError after `timeout_seconds`.
        """
        timeout = openai.Timeout(timeout_seconds, connect=min(_CONNECT_TIMEOUT_SECONDS, timeout_seconds))
        # Without a key there is no bearer token, which endpoints with a key in another header take for a wrong one.
        headers: dict[str, str | openai.Omit] = {} if self._endpoint.api_key else {"Authorization": openai.Omit()}
        # The client's own timeout bounds each wait for data, and gateways drip blanks to keep a connection open.
        call = self._caller.submit(ask, self._client, timeout, {**headers, **self._endpoint.headers})
        try:
            return call.result(timeout_seconds)
        except TimeoutError:
            self._abandon()
            raise

    def _connect(self) -> None:
        endpoint = self._endpoint
        self._client = openai.OpenAI(
            api_key=endpoint.api_key or _UNSENT_KEY,
            base_url=endpoint.base_url,
            default_query=dict(endpoint.query),
            max_retries=0,
        )
        self._caller = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    def _abandon(self) -> None:
        """Leave a call that takes too long behind, with its connection and thread, and start afresh."""
        self.close()
        self._connect()
