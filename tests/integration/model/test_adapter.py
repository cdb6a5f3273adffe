"""The model adapter against a server that speaks OpenAI's API, over a socket."""

import contextlib
import json
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from adapters.model import MAX_OUTPUT_TOKENS, OpenAiSummaryModel, takes_minimal_effort
from local.model_server import ModelServer
from tests.unit.text_repr.traces import event, generation
from trace_summarization.errors import (
    InvalidModelOutput,
    ModelOutputCutOff,
    ModelRateLimited,
    ModelRefused,
    ModelRejectedRequest,
    ModelUnavailable,
    TraceSummarizationError,
)
from trace_summarization.prompts import system_prompt, user_prompt
from trace_summarization.summarization import SummarizedTrace, summarize
from trace_summarization.text_repr import render_trace

TRACED = "The customer's secret is swordfish."
TRACE = render_trace(
    "t1",
    [
        event("trace", 3, span_name="shop", input_state=TRACED, output_state="It is safe."),
        generation(
            1, model="gpt-4o", input=[{"role": "user", "content": TRACED}], output_choices="It is safe with us."
        ),
    ],
)


def _ask(model: OpenAiSummaryModel, timeout_seconds: float = 5.0) -> SummarizedTrace:
    return summarize(TRACE, "detailed", "gpt-4.1-mini", model, timeout_seconds)


def test_a_summary_with_what_it_took(server: ModelServer, model: OpenAiSummaryModel) -> None:
    done = _ask(model)
    assert done.summary.title == "The customer's secret is swordfish"
    assert done.summary.bullets[0].line_refs == "L2"
    assert done.summary.flow_diagram.startswith("flowchart TD\n")
    assert done.usage.model == "offline-extractive"
    [entry] = server.requests()["entries"]
    assert (done.usage.input_tokens, done.usage.output_tokens) == (entry["input_tokens"], entry["output_tokens"])
    assert entry["model"] == "gpt-4.1-mini"
    assert model.provider == "offline"


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
        ({"status": 200, "body": "<html>"}, InvalidModelOutput, "the answer is not a JSON chat completion"),
        ({"status": 200, "body": "[1]"}, InvalidModelOutput, None),
        ({"status": 200, "body": {}}, InvalidModelOutput, "the answer holds no choice"),
        ({"status": 200, "body": {"choices": [{"index": 0}]}}, InvalidModelOutput,
         "the answer's choice holds no message"),
        ({"status": 200, "body": {"choices": [{"message": {"content": " "}, "finish_reason": "stop"}]}},
         InvalidModelOutput, "the answer holds no content"),
        ({"kind": "nothing"}, InvalidModelOutput, "the answer holds no choice"),
        ({"kind": "invalid_json"}, InvalidModelOutput, "the answer is not JSON (36 characters)"),
        ({"kind": "wrong_schema"}, InvalidModelOutput, "title: is missing, not a string"),
        ({"kind": "refusal"}, ModelRefused, "the model refused"),
        ({"kind": "content_filter"}, ModelRefused, "stopped by the provider's content filter"),
        ({"kind": "length"}, ModelOutputCutOff,
         f"the answer was cut off at {MAX_OUTPUT_TOKENS} tokens or the model's own limit"),
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
        _ask(model)
    assert type(caught.value) is error
    assert message is None or str(caught.value) == message
    shown = "".join(traceback.format_exception(caught.value))
    assert "swordfish" not in shown
    assert "must-not-leak" not in shown
    assert server.requests()["count"] == 1, "one attempt is one request"


def test_a_fault_that_is_over_is_over(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([{"match": "swordfish", "times": 1, "status": 500}, {"match": "elsewhere", "status": 400}])
    with pytest.raises(ModelUnavailable):
        _ask(model)
    assert _ask(model).summary.title


def test_an_answer_that_takes_too_long_is_given_up(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([{"kind": "delay", "seconds": 3}])
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="no answer within 1 s"):
        _ask(model, timeout_seconds=0.6)
    assert time.monotonic() - began < 2


def test_an_endpoint_that_does_not_listen_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    model = OpenAiSummaryModel("k", f"http://127.0.0.1:{port}/v1")
    with pytest.raises(ModelUnavailable, match="connection failed"):
        _ask(model)
    assert model.provider == "127.0.0.1"


@contextmanager
def _recording_socket(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that keeps the first request it gets, byte by byte."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                data = connection.recv(65_536)
                while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < _length(data):
                    data += connection.recv(65_536)
                received.append(data)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", received
        thread.join(5)


def _length(data: bytes) -> int:
    head = data.partition(b"\r\n\r\n")[0].lower()
    return int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])


@pytest.mark.parametrize(("name", "effort"), [("gpt-4.1-mini", None), ("openai/gpt-5-nano-2025-08-07", "minimal")])
def test_what_goes_over_the_wire(name: str, effort: str | None) -> None:
    refused = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with _recording_socket(refused) as (base_url, received):
        model = OpenAiSummaryModel("sk-key", base_url)
        with pytest.raises(ModelRejectedRequest):
            summarize(TRACE, "minimal", name, model, 5.0)
        model.close()
    head, _, body = received[0].partition(b"\r\n\r\n")
    request = json.loads(body)
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"bearer sk-key" in head.lower()
    assert request["model"] == name
    assert request["messages"] == [
        {"role": "system", "content": system_prompt("minimal")},
        {"role": "user", "content": user_prompt(TRACE.text)},
    ]
    assert request["response_format"]["json_schema"]["strict"] is True
    assert request["max_completion_tokens"] == MAX_OUTPUT_TOKENS
    assert request.get("reasoning_effort") == effort
    assert "service_tier" not in request


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("gpt-5", True),
        ("gpt-5-mini", True),
        ("gpt-5-nano-2025-08-07", True),
        ("openai/gpt-5-mini", True),
        ("gpt-5.1", False),
        ("gpt-5-chat-latest", False),
        ("gpt-5-codex", False),
        ("gpt-5-pro", False),
        ("gpt-4.1-mini", False),
        ("o4-mini", False),
    ],
)
def test_minimal_effort_only_where_the_model_takes_it(name: str, takes: bool) -> None:
    assert takes_minimal_effort(name) is takes


def test_a_gateway_that_drips_blanks_does_not_outlast_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        threading.Thread(target=_drip, args=(gateway,), daemon=True).start()
        model = OpenAiSummaryModel("key", f"http://127.0.0.1:{gateway.getsockname()[1]}/v1", "dripping")
        began = time.monotonic()
        with pytest.raises(ModelUnavailable, match="no answer within 1 s"):
            model.answer("gpt-4.1-mini", "system", "user", 1.0)
        assert time.monotonic() - began < 3
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
        model.answer("gpt-4.1-mini", system_prompt("minimal"), user_prompt("L1: hello"), 0.5)
    assert model.answer("gpt-4.1-mini", system_prompt("minimal"), user_prompt("L1: hello"), 20.0).content
