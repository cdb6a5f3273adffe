"""The model adapter against a server that speaks OpenAI's API, over a socket."""

import contextlib
import gzip
import json
import socket
import threading
import time
import traceback
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.model import OpenAiSummaryModel
from adapters.secrets import ModelSecret
from local.model_server import ModelServer
from tests.integration.model.recording_socket import recording_socket
from tests.integration.model.traces import LONG_ENOUGH_SECONDS, ONE_REQUEST_SECONDS, TRACE, TRACED, ask, request_for
from tests.spending import RecordedSpending
from trace_summarization import constants as c
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
from trace_summarization.models import TraceEvent
from trace_summarization.prompts import sized_response_schema, system_prompt
from trace_summarization.requests import summary_request
from trace_summarization.text_repr import render_trace

SAMPLES = Path(__file__).parents[3] / "samples"


def test_a_summary_with_what_it_took(server: ModelServer, model: OpenAiSummaryModel) -> None:
    done = ask(model)
    assert done.summary.title == "The customer's secret is swordfish"
    assert done.summary.bullets[0].line_refs == "L2"
    assert done.summary.flow_diagram.startswith("flowchart TD\n")
    assert done.usage.model == "offline-extractive"
    [entry] = server.requests()["entries"]
    assert (done.usage.input_tokens, done.usage.output_tokens) == (entry["input_tokens"], entry["output_tokens"])
    assert entry["model"] == "gpt-4.1-mini"
    assert (done.usage.cached_input_tokens, done.usage.service_tier) == (0, "default")
    assert model.provider == "offline"


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.jsonl.gz")), ids=lambda path: path.name)
def test_the_tokens_set_aside_are_those_that_the_server_counts(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending, path: Path
) -> None:
    traces: dict[str, list[TraceEvent]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            event = TraceEvent(row["uuid"], row["event"], datetime.fromisoformat(row["timestamp"]), row["properties"])
            traces[row["properties"]["$ai_trace_id"]].append(event)
    for trace_id, events in list(traces.items())[:3]:
        text = render_trace(trace_id, events).text
        model.answer(summary_request(text, "detailed", "gpt-4.1-mini"), LONG_ENOUGH_SECONDS, spending)
    for reserved, usage in zip(spending.reserved, spending.settled, strict=True):
        assert usage.input_tokens is not None
        assert usage.input_tokens <= reserved.input_tokens <= 1.1 * usage.input_tokens


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ({"status": 429}, ModelRateLimited, "status 429, scripted_fault"),
        ({"status": 500}, ModelUnavailable, "status 500, scripted_fault"),
        ({"status": 503, "body": TRACED}, ModelUnavailable, "status 503"),
        ({"status": 408}, ModelUnavailable, "status 408, scripted_fault"),
        ({"status": 400}, ModelRejectedRequest, "status 400, scripted_fault"),
        ({"status": 401}, ModelRejectedRequest, "status 401, scripted_fault"),
        ({"status": 404, "body": {"error": TRACED}}, ModelRejectedRequest, "status 404"),
        ({"status": 422, "body": {"error": {"message": TRACED, "type": TRACED, "code": "too_long"}}},
         ModelRejectedRequest, "status 422, too_long"),
        ({"status": 400, "body": {"error": {"message": TRACED, "code": "content_filter"}}},
         ModelRefused, "status 400, content_filter"),
        ({"status": 400, "body": {"error": {"message": TRACED, "code": "invalid_prompt"}}},
         ModelRefused, "status 400, invalid_prompt"),
        ({"status": 429, "body": {"error": {"message": TRACED, "type": "insufficient_quota",
                                            "code": "insufficient_quota"}}},
         ModelRejectedRequest, "status 429, insufficient_quota"),
        ({"status": 429, "body": {"error": {"message": f"Request too large for m: Limit 9, Requested 10. {TRACED}",
                                            "type": "tokens", "code": "rate_limit_exceeded"}}},
         ModelInputTooLong, "status 429, tokens, rate_limit_exceeded"),
        ({"status": 400, "body": {"error": {"message": TRACED, "type": "invalid_request_error",
                                            "code": "context_length_exceeded"}}},
         ModelInputTooLong, "status 400, invalid_request_error, context_length_exceeded"),
        ({"status": 413, "body": TRACED}, ModelInputTooLong, "status 413"),
        ({"status": 501, "body": TRACED}, ModelRejectedRequest, "status 501"),
        ({"status": 200, "body": "<html>"}, InvalidModelOutput, "the answer is not a JSON chat completion"),
        ({"status": 200, "body": "[1]"}, InvalidModelOutput, None),
        ({"status": 200, "body": {}}, ModelAnsweredNothing, "the answer holds no choice"),
        ({"status": 200, "body": {"choices": [{"index": 0}]}}, ModelAnsweredNothing,
         "the answer's choice holds no message"),
        ({"status": 200, "body": {"choices": [{"message": {"content": " "}, "finish_reason": "stop"}]}},
         ModelAnsweredNothing, "the answer holds no content"),
        ({"kind": "nothing"}, ModelAnsweredNothing, "the answer holds no choice"),
        ({"kind": "invalid_json"}, InvalidModelOutput, "the answer is not JSON (36 characters)"),
        ({"kind": "wrong_schema"}, InvalidModelOutput, "title: is missing, not a string"),
        ({"kind": "refusal"}, ModelRefused, "the model refused"),
        ({"kind": "content_filter"}, ModelRefused, "stopped by the provider's content filter"),
        ({"kind": "length"}, InvalidModelOutput,
         f"the answer was cut off at {c.MAX_OUTPUT_TOKENS['detailed']} tokens or the model's own limit"),
        ({"kind": "reset"}, ModelUnavailable, None),
    ],
)  # fmt: skip
def test_each_fault_has_its_type_and_quotes_nothing(
    server: ModelServer,
    model: OpenAiSummaryModel,
    fault: dict[str, Any],
    error: type[TraceSummarizationError],
    message: str | None,
) -> None:
    server.faults.replace([fault])
    with pytest.raises(error) as caught:
        ask(model, ONE_REQUEST_SECONDS)
    assert type(caught.value) is error
    assert message is None or str(caught.value) == message
    shown = "".join(traceback.format_exception(caught.value))
    assert "swordfish" not in shown
    assert "must-not-leak" not in shown
    assert server.requests()["count"] == 1, "there was no time for another"


def test_a_fault_that_is_over_is_over(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([{"match": "swordfish", "times": 1, "status": 500}, {"match": "elsewhere", "status": 400}])
    with pytest.raises(ModelUnavailable):
        ask(model, ONE_REQUEST_SECONDS)
    assert ask(model).summary.title


def test_an_answer_that_takes_too_long_is_given_up(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([{"kind": "delay", "seconds": 3}])
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="no answer within 1 s"):
        ask(model, timeout_seconds=0.6)
    assert time.monotonic() - began < 2


def test_an_endpoint_that_does_not_listen_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    model = OpenAiSummaryModel(ModelSecret(api_key="k", base_url=f"http://127.0.0.1:{port}/v1"))
    spending = RecordedSpending()
    with pytest.raises(ModelUnavailable, match="connection failed"):
        ask(model, spending=spending)
    assert spending.log == ["reserve", "release"], "nothing was sent"
    assert model.provider == "127.0.0.1"


def _sent_by(secret: dict[str, Any], name: str = "gpt-4.1-mini", path: str = "/v1") -> tuple[str, dict[str, Any]]:
    """Head and body of the request that goes to an endpoint, which refuses it."""
    refused = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with recording_socket(refused) as (base_url, received):
        endpoint = ModelSecret.model_validate({"base_url": base_url.removesuffix("/v1") + path, **secret})
        model = OpenAiSummaryModel(endpoint)
        with pytest.raises(ModelRejectedRequest):
            ask(model, ONE_REQUEST_SECONDS, name, mode="minimal")
        model.close()
    head, _, body = received[0].partition(b"\r\n\r\n")
    return head.decode().lower(), json.loads(body)


@pytest.mark.parametrize(
    ("name", "effort", "limit"),
    [
        ("gpt-4.1-mini", None, c.MAX_OUTPUT_TOKENS["minimal"]),
        ("openai/gpt-5-nano-2025-08-07", "minimal", c.MAX_OUTPUT_TOKENS["minimal"] + c.REASONING_OUTPUT_TOKENS),
    ],
)
def test_what_goes_over_the_wire(name: str, effort: str | None, limit: int) -> None:
    head, request = _sent_by({"api_key": "sk-key"}, name)
    assert head.startswith("post /v1/chat/completions http/1.1\r\n")
    assert "authorization: bearer sk-key" in head
    assert request["model"] == name
    [system, user] = request["messages"]
    assert system == {"role": "system", "content": system_prompt("minimal")}
    assert user["role"] == "user"
    assert f"\n{TRACE.text}\n" in user["content"]
    assert request["response_format"]["json_schema"] == {
        "name": "trace_summary",
        "strict": True,
        "schema": sized_response_schema("minimal"),
    }
    assert request["max_completion_tokens"] == limit
    assert request.get("reasoning_effort") == effort
    assert "service_tier" not in request


def test_headers_and_query_go_with_the_request_and_no_bearer_token_without_a_key() -> None:
    path = "/openai/deployments/summaries"
    head, _ = _sent_by({"headers": {"api-key": "azure-key"}, "query": {"api-version": "2024-10-21"}}, path=path)
    assert head.startswith(f"post {path}/chat/completions?api-version=2024-10-21 http/1.1\r\n")
    assert "api-key: azure-key\r\n" in head
    assert "authorization" not in head


def test_a_service_tier_goes_with_the_request_where_it_is_set() -> None:
    _, request = _sent_by({"api_key": "k", "service_tier": "priority"})
    assert request["service_tier"] == "priority"


def test_a_gateway_that_drips_blanks_does_not_outlast_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        threading.Thread(target=_drip, args=(gateway,), daemon=True).start()
        base_url = f"http://127.0.0.1:{gateway.getsockname()[1]}/v1"
        model = OpenAiSummaryModel(ModelSecret(api_key="key", base_url=base_url, provider="dripping"))
        spending = RecordedSpending()
        began = time.monotonic()
        with pytest.raises(ModelUnavailable, match="no answer within 1 s"):
            model.answer(request_for(), 1.0, spending)
        assert time.monotonic() - began < 3
        assert spending.log == ["reserve", "keep"], "it may be billed"
        model.close()


def _drip(gateway: socket.socket) -> None:
    """Answer with a header and then a blank every tenth of a second, until the client has gone."""
    connection, _ = gateway.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"\n")
            time.sleep(0.1)


def test_after_a_call_was_left_behind_the_next_one_is_answered(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([{"times": 1, "kind": "delay", "seconds": 3}])
    with pytest.raises(ModelUnavailable):
        model.answer(request_for(), 0.5, RecordedSpending())
    assert model.answer(request_for(), 20.0, RecordedSpending()).content
