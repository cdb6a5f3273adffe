"""A second request for an answer that cannot be used."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from adapters.model import OpenAiSummaryModel
from adapters.secrets import ModelSecret
from local.model_server import ModelServer
from tests.integration.model.traces import LONG_ENOUGH_SECONDS, ONE_REQUEST_SECONDS, TRACED, ask
from tests.spending import RecordedSpending
from trace_summarization import constants as c
from trace_summarization.errors import InvalidModelOutput, ModelOutputCutOff, TraceSummarizationError


@pytest.mark.parametrize("kind", ["invalid_json", "wrong_schema", "length"])
def test_an_answer_that_cannot_be_used_is_repaired_once(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending, kind: str
) -> None:
    server.faults.replace([{"kind": kind, "times": 1}])
    done = ask(model, spending=spending)
    assert done.summary.title == "The customer's secret is swordfish"
    assert spending.log == ["reserve", "settle", "reserve", "settle"]
    assert list(done.usages) == spending.settled
    first, second = done.usages
    assert first.input_tokens is not None
    assert second.input_tokens is not None
    assert second.input_tokens > first.input_tokens, "the repair holds the first request, the answer and what is wrong"
    assert done.usage.input_tokens == first.input_tokens + second.input_tokens


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("invalid_json", InvalidModelOutput, "the answer is not JSON (36 characters)"),
        ("wrong_schema", InvalidModelOutput, "title: is missing, not a string"),
        (
            "length",
            ModelOutputCutOff,
            "the answer was cut off at 2000 tokens or the model's own limit, and so was the one before it",
        ),
    ],
)
def test_a_repair_that_is_no_better_ends_as_the_first_answer_would_have(
    server: ModelServer,
    model: OpenAiSummaryModel,
    spending: RecordedSpending,
    kind: str,
    error: type[TraceSummarizationError],
    message: str,
) -> None:
    server.faults.replace([{"kind": kind}])
    with pytest.raises(error) as caught:
        ask(model, spending=spending)
    assert str(caught.value) == message
    assert spending.log == ["reserve", "settle"] * 2


@pytest.mark.parametrize("fault", [{"kind": "refusal"}, {"status": 400}, {"kind": "reset"}])
def test_a_repair_that_fails_otherwise_ends_as_the_first_answer_would_have(
    server: ModelServer, model: OpenAiSummaryModel, fault: dict[str, Any]
) -> None:
    server.faults.replace([{"kind": "invalid_json", "times": 1}, fault])
    with pytest.raises(InvalidModelOutput, match="not JSON"):
        ask(model)
    assert server.requests()["count"] == 2


def test_a_repair_that_is_not_affordable_is_not_asked_for(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([{"kind": "wrong_schema", "times": 1}])
    with pytest.raises(InvalidModelOutput, match="title: is missing"):
        ask(model, spending=RecordedSpending(grants=1))
    assert server.requests()["count"] == 1


def test_a_repair_for_which_there_is_no_time_is_not_asked_for(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([{"kind": "wrong_schema", "times": 1}])
    with pytest.raises(InvalidModelOutput, match="title: is missing"):
        ask(model, ONE_REQUEST_SECONDS)
    assert server.requests()["count"] == 1


def test_the_first_request_and_its_repair_share_the_time(server: ModelServer, model: OpenAiSummaryModel) -> None:
    slow = {"seconds": 2.0, "times": 1}
    server.faults.replace([{"kind": "wrong_schema", **slow}, {"kind": "delay", "seconds": 20.0}])
    began = time.monotonic()
    with pytest.raises(InvalidModelOutput):
        ask(model, timeout_seconds=2.5 + c.MODEL_SHORTEST_ANSWER_SECONDS)
    assert 7.0 < time.monotonic() - began < 8.5


def test_an_answer_with_half_a_surrogate_pair_is_repaired(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending
) -> None:
    body = {"choices": [{"message": {"content": '{"title": "half \ud83d'}, "finish_reason": "stop"}]}
    server.faults.replace([{"status": 200, "body": body, "times": 1}])
    assert ask(model, spending=spending).summary.title == "The customer's secret is swordfish"
    assert spending.log == ["reserve", "keep", "reserve", "settle"]


class _OneAnswer(HTTPServer):
    """Answers everything alike, and keeps what it is asked."""

    def __init__(self, content: str) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.content = content
        self.asked: list[Any] = []


class _Conversation(BaseHTTPRequestHandler):
    """Speaks for its server."""

    server: Any

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": self.server.content}}
        body = json.dumps({"choices": [choice], "model": "m"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_the_repair_shows_the_answer_cut_to_size_and_names_the_field_without_quoting() -> None:
    answer = json.dumps({"title": 5, "padding": TRACED * 1_000})
    with _OneAnswer(answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        model = OpenAiSummaryModel(ModelSecret(base_url=f"http://127.0.0.1:{server.server_port}/v1"))
        with pytest.raises(InvalidModelOutput):
            ask(model, LONG_ENOUGH_SECONDS)
        model.close()
        server.shutdown()
        first, repair = server.asked
    assert repair["messages"][:2] == first["messages"], "the same prefix, which providers cache"
    shown, told = repair["messages"][2:]
    assert shown == {"role": "assistant", "content": answer[: c.MAX_REPAIRED_ANSWER_LENGTH]}
    assert told["role"] == "user"
    assert "title: is int, not a string" in told["content"]
    assert "swordfish" not in told["content"]
