"""The embedding model's adapter against a server that speaks OpenAI's API, over a socket."""

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from adapters.embedding_model import OpenAiEmbeddingModel
from adapters.secrets import ModelSecret
from embedding.models import EmbeddingModelName
from local.model_server import ModelServer
from tests.integration.model.recording_socket import recording_socket
from trace_summarization import constants as c
from trace_summarization.errors import (
    EmbeddingInputRejected,
    EmbeddingModelUnknown,
    InvalidModelOutput,
    ModelAnsweredNothing,
    ModelRateLimited,
    ModelRejectedRequest,
    ModelUnavailable,
    TraceSummarizationError,
)

SMALL = EmbeddingModelName.parse("text-embedding-3-small-1536")
OTHER = EmbeddingModelName.parse("some/other-model-1024")
TEXTS = ["Where is my order?", "swordfish", "日本語"]
SECRET = "swordfish"
FLOAT_ANSWER = {
    "data": [{"index": index, "embedding": [0.5, 0.5]} for index in range(3)],
    "usage": {"prompt_tokens": 9, "total_tokens": 9},
}


def _within(seconds: float) -> Callable[[], float]:
    ends = time.monotonic() + seconds
    return lambda: ends - time.monotonic()


def _rejects(message: str, status: int = 400, **fields: Any) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"message": message, "type": "invalid_request_error", **fields}}}


def _sent(server: ModelServer) -> list[list[str]]:
    return [entry["parameters"] for entry in server.requests()["entries"]]


def test_each_text_has_its_vector_and_the_tokens_are_told(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    together = embedding_model.embed(SMALL, TEXTS, _within(20))
    alone = [embedding_model.embed(SMALL, [text], _within(20)) for text in TEXTS]
    assert [len(vector) for vector in together.vectors] == [1_536] * 3
    assert list(together.vectors) == [answer.vectors[0] for answer in alone]
    assert together.input_tokens == embedding_server.requests()["entries"][0]["input_tokens"]


def test_vectors_in_another_order_are_put_right(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    in_order = embedding_model.embed(SMALL, TEXTS, _within(20))
    embedding_server.faults.replace([{"kind": "shuffled"}])
    assert embedding_model.embed(SMALL, TEXTS, _within(20)) == in_order


def test_numbers_instead_of_base64_are_read_as_well(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    embedding_server.faults.replace([{"status": 200, "body": FLOAT_ANSWER}])
    answer = embedding_model.embed(SMALL, TEXTS, _within(20))
    assert (answer.vectors, answer.input_tokens) == ([[0.5, 0.5]] * 3, 9)


def test_half_surrogate_pairs_are_sent_as_question_marks(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    broken = embedding_model.embed(SMALL, ["half \ud83d pair"], _within(20))
    assert broken.vectors == embedding_model.embed(SMALL, ["half ? pair"], _within(20)).vectors


def _sent_by(secret: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Head and body of the request that goes to an endpoint, which refuses it."""
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with recording_socket(refused) as (base_url, received):
        model = OpenAiEmbeddingModel(ModelSecret.model_validate({"base_url": base_url, **secret}))
        with pytest.raises(ModelRejectedRequest):
            model.embed(EmbeddingModelName(SMALL.model, 256), TEXTS, _within(20))
        model.close()
    head, _, body = received[0].partition(b"\r\n\r\n")
    return head.decode().lower(), json.loads(body)


def test_what_goes_over_the_wire() -> None:
    head, request = _sent_by({"api_key": "sk-key"})
    assert head.startswith("post /v1/embeddings http/1.1\r\n")
    assert "authorization: bearer sk-key" in head
    assert request == {"model": SMALL.model, "input": TEXTS, "dimensions": 256, "encoding_format": "base64"}


def test_headers_and_query_go_with_the_request_and_no_bearer_token_without_a_key() -> None:
    head, _ = _sent_by({"headers": {"api-key": "azure-key"}, "query": {"api-version": "2024-10-21"}})
    assert head.startswith("post /v1/embeddings?api-version=2024-10-21 http/1.1\r\n")
    assert "api-key: azure-key\r\n" in head
    assert "authorization" not in head


# --- vectors that are none are left to be seen -----------------------------------------------------------------------


def test_what_is_not_a_number_is_seen_in_base64_and_in_json(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    embedding_server.faults.replace([{"match": SECRET, "kind": "nan"}])
    first, second, third = embedding_model.embed(SMALL, TEXTS, _within(20)).vectors
    assert math.isnan(second[-1])
    assert all(map(math.isfinite, [*first, *third]))
    in_json = {"data": [{"index": 0, "embedding": [None, float("nan"), "1", 10**400, 0.5]}]}
    embedding_server.faults.replace([{"status": 200, "body": in_json}])
    [vector] = embedding_model.embed(SMALL, ["x"], _within(20)).vectors
    assert [math.isfinite(number) for number in vector] == [False, False, False, False, True]


@pytest.mark.parametrize("kind", ["wrong_dimensions", "zeros"])
def test_a_vector_of_another_size_or_of_zeros_is_handed_on_as_it_is(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel, kind: str
) -> None:
    embedding_server.faults.replace([{"match": SECRET, "kind": kind}])
    first, second, _ = embedding_model.embed(SMALL, TEXTS, _within(20)).vectors
    assert len(first) == 1_536
    assert len(second) == 768 if kind == "wrong_dimensions" else set(second) == {0.0}
    assert embedding_server.requests()["count"] == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "missing_one"}, ModelAnsweredNothing),
        ({"kind": "duplicate_index"}, ModelAnsweredNothing),
        ({"kind": "nothing"}, ModelAnsweredNothing),
        ({"status": 200, "body": {}}, ModelAnsweredNothing),
        ({"status": 200, "body": []}, InvalidModelOutput),
        ({"status": 200, "body": "{"}, InvalidModelOutput),
        ({"status": 200, "body": "[" * 100_000}, InvalidModelOutput),
        (
            {"status": 200, "body": {"data": [{"index": [n], "embedding": "AAAA"} for n in range(3)]}},
            ModelAnsweredNothing,
        ),
        ({"status": 200, "body": {"data": [{"index": n, "embedding": "AAA"} for n in range(3)]}}, InvalidModelOutput),
        ({"status": 200, "body": {"data": [{"index": n, "embedding": "????"} for n in range(3)]}}, InvalidModelOutput),
        ({"status": 200, "body": {"data": [{"index": n, "embedding": "AAAA"} for n in range(3)]}}, InvalidModelOutput),
        ({"status": 200, "body": {"data": [{"index": n, "embedding": None} for n in range(3)]}}, InvalidModelOutput),
    ],
)
def test_an_answer_that_is_not_one_vector_per_text_is_asked_for_again_twice(
    embedding_server: ModelServer,
    embedding_model: OpenAiEmbeddingModel,
    fault: dict[str, Any],
    error: type[TraceSummarizationError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(c, "MODEL_RETRY_WAIT_SECONDS", 0.01)
    embedding_server.faults.replace([{**fault, "times": 2}])
    assert len(embedding_model.embed(SMALL, TEXTS, _within(20)).vectors) == 3
    embedding_server.faults.replace([fault])
    with pytest.raises(error):
        embedding_model.embed(SMALL, TEXTS, _within(20))
    assert embedding_server.requests()["count"] == 6


# --- waiting ---------------------------------------------------------------------------------------------------------


def test_a_busy_endpoint_is_asked_again_as_often_as_it_says_while_there_is_time(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    embedding_server.faults.replace([{"times": 6, "status": 429, "headers": {"retry-after-ms": "500"}}])
    began = time.monotonic()
    assert embedding_model.embed(SMALL, TEXTS, _within(30)).vectors
    assert 3 <= time.monotonic() - began < 15
    assert embedding_server.requests()["count"] == 7


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"kind": "reset"}, {"status": 408}])
def test_a_fault_that_passes_is_waited_for(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel, fault: dict[str, Any]
) -> None:
    embedding_server.faults.replace([{**fault, "times": 1}])
    assert embedding_model.embed(SMALL, TEXTS, _within(20)).vectors


def test_a_request_that_is_lost_is_not_repeated_as_it_is(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c, "EMBEDDING_REQUEST_SECONDS", 0.5)
    embedding_server.faults.replace([{"times": 1, "kind": "delay", "seconds": 3}])
    with pytest.raises(ModelUnavailable, match="no answer within"):
        embedding_model.embed(SMALL, TEXTS, _within(20))


def test_a_broken_endpoint_is_not_waited_for_longer_than_a_request_takes(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    embedding_server.faults.replace([{"status": 503, "headers": {"Retry-After": "60"}}])
    with pytest.raises(ModelUnavailable):
        embedding_model.embed(SMALL, TEXTS, _within(200))
    assert embedding_server.requests()["count"] == 1


@pytest.mark.parametrize("fault", [{"status": 500}, {"kind": "reset"}])
def test_a_fault_that_does_not_pass_is_tried_four_times(
    embedding_server: ModelServer,
    embedding_model: OpenAiEmbeddingModel,
    fault: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(c, "MODEL_RETRY_WAIT_SECONDS", 0.01)
    embedding_server.faults.replace([fault])
    with pytest.raises(ModelUnavailable):
        embedding_model.embed(SMALL, TEXTS, _within(20))
    assert embedding_server.requests()["count"] == 4


def test_an_endpoint_that_says_to_come_back_at_once_is_not_flooded(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    embedding_server.faults.replace([{"status": 429, "headers": {"Retry-After": "0"}}])
    with pytest.raises(ModelRateLimited):
        embedding_model.embed(SMALL, TEXTS, _within(5))
    assert embedding_server.requests()["count"] <= 8


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 429, "headers": {"Retry-After": "60"}}, ModelRateLimited),
        ({"status": 503, "headers": {"Retry-After": "60"}}, ModelUnavailable),
        ({"status": 429}, ModelRateLimited),
        ({"kind": "reset"}, ModelUnavailable),
    ],
)
def test_a_wait_after_which_no_answer_fits_is_not_begun(
    embedding_server: ModelServer,
    embedding_model: OpenAiEmbeddingModel,
    fault: dict[str, Any],
    error: type[TraceSummarizationError],
) -> None:
    embedding_server.faults.replace([fault])
    began = time.monotonic()
    with pytest.raises(error):
        embedding_model.embed(SMALL, TEXTS, _within(2.4))
    assert time.monotonic() - began < 2.4


def test_without_time_nothing_is_asked(embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel) -> None:
    with pytest.raises(ModelUnavailable, match="not asked"):
        embedding_model.embed(SMALL, TEXTS, lambda: 0.0)
    assert embedding_server.requests()["count"] == 0


def test_an_endpoint_that_does_not_listen_is_unavailable() -> None:
    model = OpenAiEmbeddingModel(ModelSecret(base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(ModelUnavailable, match="connection failed"):
        model.embed(SMALL, TEXTS, _within(2))
    model.close()


# --- whose fault a rejection is --------------------------------------------------------------------------------------

_TOO_LONG = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (_rejects("'$.input' is invalid"), EmbeddingInputRejected),
        (_rejects("Invalid 'input[1]': the model does not exist", param="input"), EmbeddingInputRejected),
        (_rejects(_TOO_LONG), EmbeddingInputRejected),
        (_rejects("too large", 413), EmbeddingInputRejected),
        (_rejects("unprocessable", 422), EmbeddingInputRejected),
        (_rejects("filtered", code="content_filter"), EmbeddingInputRejected),
        (_rejects("Request too large for this organization", 429), EmbeddingInputRejected),
        (_rejects("input is too large to process. increase the physical batch size", 500), EmbeddingInputRejected),
        (_rejects("failed to encode response: json: unsupported value: NaN", 500), EmbeddingInputRejected),
        (_rejects(f"cannot embed {SECRET}"), EmbeddingInputRejected),
        (_rejects("Incorrect API key provided", 401), ModelRejectedRequest),
        (_rejects("not allowed", 403), ModelRejectedRequest),
        (_rejects("Not Found", 404), ModelRejectedRequest),
        (_rejects("You exceeded your current quota", 429, code="insufficient_quota"), ModelRejectedRequest),
        (_rejects("API key not valid. Please pass a valid API key."), ModelRejectedRequest),
        (_rejects("The model `x` does not exist", 404, code="model_not_found"), EmbeddingModelUnknown),
        (_rejects("model 'x' not found, try pulling it first", 404), EmbeddingModelUnknown),
        (_rejects("Unknown model x"), EmbeddingModelUnknown),
        (_rejects("no", param="model"), EmbeddingModelUnknown),
    ],
)
def test_each_rejection_has_its_type_and_quotes_nothing(
    embedding_server: ModelServer,
    embedding_model: OpenAiEmbeddingModel,
    fault: dict[str, Any],
    error: type[TraceSummarizationError],
) -> None:
    embedding_server.faults.replace([fault])
    with pytest.raises(error) as caught:
        embedding_model.embed(SMALL, TEXTS, _within(20))
    assert type(caught.value) is error
    assert str(caught.value).startswith(f"status {fault['status']}")
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_error_that_quotes_a_text_is_not_taken_for_the_endpoint_s_own_words(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    poison = "the agent saw: unknown model gpt-9, API key not valid"
    embedding_server.faults.replace([_rejects(f"cannot embed '{poison}'")])
    with pytest.raises(EmbeddingInputRejected):
        embedding_model.embed(SMALL, ["harmless", poison], _within(20))


# --- what an endpoint takes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "Unrecognized request argument supplied: encoding_format",
        "body.encoding_format: Extra inputs are not permitted",
        "base64 is not supported",
        "bad request",
    ],
)
def test_an_endpoint_without_base64_is_asked_without_from_then_on(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel, message: str
) -> None:
    embedding_server.faults.replace([{**_rejects(message), "sent": {"encoding_format": None}}])
    for _ in range(2):
        assert len(embedding_model.embed(SMALL, TEXTS, _within(20)).vectors) == 3
    assert _sent(embedding_server) == [["encoding_format"], [], []]


def test_a_rejected_text_is_not_held_against_base64(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    embedding_server.faults.replace([{**_rejects("bad request"), "match": "poison"}])
    with pytest.raises(EmbeddingInputRejected):
        embedding_model.embed(SMALL, ["poison"], _within(20))
    embedding_model.embed(SMALL, TEXTS, _within(20))
    with pytest.raises(EmbeddingInputRejected):
        embedding_model.embed(SMALL, ["poison"], _within(20))
    assert _sent(embedding_server) == [["encoding_format"], [], ["encoding_format"], ["encoding_format"]]


def test_dimensions_are_sent_where_the_known_model_has_others(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    fewer = EmbeddingModelName(SMALL.model, 256)
    assert {len(vector) for vector in embedding_model.embed(fewer, TEXTS, _within(20)).vectors} == {256}
    assert _sent(embedding_server) == [["dimensions", "encoding_format"]]


def test_an_unknown_model_is_asked_for_dimensions_once_its_vectors_come_too_long(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    fewer = EmbeddingModelName(OTHER.model, 256)
    first = embedding_model.embed(fewer, TEXTS, _within(20))
    assert {len(vector) for vector in first.vectors} == {256}
    second = embedding_model.embed(fewer, TEXTS, _within(20))
    embedding_model.embed(OTHER, TEXTS, _within(20))
    shorter = ["dimensions", "encoding_format"]
    assert _sent(embedding_server) == [["encoding_format"], shorter, shorter, ["encoding_format"]]
    assert first.input_tokens == 2 * (second.input_tokens or 0), "both answers were billed"


def test_vectors_that_stay_too_long_are_handed_on(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel
) -> None:
    longer = {"data": [{"index": 0, "embedding": [1.0, 2.0, 3.0]}]}
    embedding_server.faults.replace([{"status": 200, "body": longer, "match": "x"}])
    answer = embedding_model.embed(EmbeddingModelName(OTHER.model, 2), ["x"], _within(20))
    assert (answer.vectors, answer.input_tokens) == ([[1.0, 2.0, 3.0]], None)
    assert embedding_server.requests()["count"] == 2


@pytest.mark.parametrize(
    "message",
    [
        "This model does not support specifying dimensions.",
        'Model "x" does not support matryoshka representation, changing output dimensions will lead to poor results.',
        "Unrecognized request argument supplied: dimensions",
    ],
)
def test_an_endpoint_without_dimensions_is_said_so(
    embedding_server: ModelServer, embedding_model: OpenAiEmbeddingModel, message: str
) -> None:
    embedding_server.faults.replace([{**_rejects(message), "sent": {"dimensions": None}}])
    for model in (EmbeddingModelName(SMALL.model, 256), EmbeddingModelName(OTHER.model, 256)):
        with pytest.raises(ModelRejectedRequest, match="does not take `dimensions`"):
            embedding_model.embed(model, TEXTS, _within(20))
