"""The offline model server: OpenAI's API, faults, and its log."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import openai
import pytest

from local.model_server import ModelServer
from tests.unit.text_repr.traces import generation
from trace_summarization.prompts import RESPONSE_SCHEMA, system_prompt, user_prompt
from trace_summarization.text_repr import render_trace
from trace_summarization.tokens import count_tokens

ROOT = Path(__file__).parents[3]
TEXT = render_trace(
    "t", [generation(1, model="m", input=[{"role": "user", "content": "Where is my order?"}], output_choices="Here.")]
).text


def _call(server: ModelServer, method: str, path: str, body: Any = None) -> Any:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    url = server.base_url.removesuffix("/v1") + path
    with urlopen(Request(url, data, {"Content-Type": "application/json"}, method=method), timeout=5) as answer:
        return json.load(answer)


def _chat(user: str = "Hello", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": user}], **fields}


def _summary(server: ModelServer, text: str, mode: Any = "detailed") -> dict[str, Any]:
    messages = [{"role": "system", "content": system_prompt(mode)}, {"role": "user", "content": user_prompt(text)}]
    answer = _call(server, "POST", "/v1/chat/completions", {"model": "m", "messages": messages})
    summary: dict[str, Any] = json.loads(answer["choices"][0]["message"]["content"])
    return summary


def test_the_openai_client_lists_its_models(server: ModelServer) -> None:
    client = openai.OpenAI(api_key="k", base_url=server.base_url)
    assert [model.id for model in client.models.list()] == ["offline-extractive", "offline-wordllama"]
    client.close()


def test_the_same_request_gets_the_same_answer(server: ModelServer) -> None:
    assert _summary(server, TEXT) == _summary(server, TEXT)
    assert _summary(server, TEXT)["title"] == "Where is order?"


def test_only_the_trace_between_the_marks_is_summarized(server: ModelServer) -> None:
    assert "Summarize" not in json.dumps(_summary(server, TEXT))


def test_every_request_to_the_model_is_logged_and_nothing_else(server: ModelServer, tmp_path: Path) -> None:
    server.stop()
    logged = ModelServer(log=tmp_path / "log.jsonl")
    logged.start()
    try:
        _call(logged, "GET", "/v1/models")
        _call(logged, "POST", "/v1/chat/completions", _chat("One"))
        _call(logged, "POST", "/_faults", [{"status": 500, "times": 1}])
        with pytest.raises(HTTPError):
            _call(logged, "POST", "/v1/chat/completions", _chat("Two"))
        requests = _call(logged, "GET", "/_requests")
    finally:
        logged.stop()
    assert requests["count"] == 2
    first, second = requests["entries"]
    assert (first["kind"], second["kind"]) == ("chat", "chat")
    assert first["user_sha256"] == hashlib.sha256(b"One").hexdigest()
    assert (first["model"], first["status"], first["fault"], first["input_tokens"]) == ("m", 200, None, 8)
    assert first["output_tokens"] > 20
    assert (second["status"], second["fault"], second["output_tokens"]) == (500, "status 500", 0)
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [first, second]


def test_a_scripted_status_carries_its_headers_and_body(server: ModelServer) -> None:
    _call(server, "POST", "/_faults", [{"status": 429, "headers": {"Retry-After": "7"}, "body": {"why": "busy"}}])
    with pytest.raises(HTTPError) as caught:
        _call(server, "POST", "/v1/chat/completions", _chat())
    assert (caught.value.code, caught.value.headers["Retry-After"]) == (429, "7")
    assert json.load(caught.value) == {"why": "busy"}
    _call(server, "DELETE", "/_faults")
    assert _call(server, "POST", "/v1/chat/completions", _chat())["model"] == "offline-extractive"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "/v1/nothing", None, 404, "GET /v1/nothing: not here"),
        ("POST", "/v1/chat/completions", b"{", 400, "the body is not JSON"),
        ("POST", "/v1/chat/completions", [], 400, "the body is not a JSON object"),
        ("POST", "/v1/chat/completions", {"messages": [{}]}, 400, "model: missing"),
        ("POST", "/v1/chat/completions", {"model": "m", "messages": []}, 400, "messages: allowed is"),
        ("POST", "/v1/chat/completions", _chat(stream=True), 400, "stream: true"),
        ("POST", "/v1/chat/completions", _chat(response_format={"type": "xml"}), 400, "response_format: "),
        ("POST", "/v1/chat/completions", _chat(response_format={"type": "json_object"}), 400, "messages: must contain"),
        ("POST", "/_faults", {}, 400, "faults: dict; allowed is a list"),
        ("POST", "/_faults", [7], 400, "faults[0]: 7; allowed is an object"),
        ("POST", "/_faults", [{"status": 500, "x": 1}], 400, "faults[0]: unknown field 'x'; allowed are body, headers"),
        ("POST", "/_faults", [{"status": 500, "sent": "seed"}], 400, "faults[0].sent: 'seed'; allowed is an object"),
        ("POST", "/_faults", [{"status": 500, "share": 2}], 400, "faults[0].share: 2; allowed is a number from 0 to 1"),
        ("POST", "/_faults", [{"times": 1}], 400, "faults[0]: needs either status or kind"),
        ("POST", "/_faults", [{"kind": "boredom"}], 400, "faults[0].kind: 'boredom'; allowed is one of nothing,"),
        ("POST", "/_faults", [{"status": True}], 400, "faults[0].status: True; allowed is 200 to 599"),
        ("POST", "/_faults", [{"status": 500, "times": -1}], 400, "faults[0].times: -1; allowed is an integer"),
        ("POST", "/_faults", [{"kind": "delay", "seconds": "1"}], 400, "faults[0].seconds: '1'; allowed is a number"),
    ],
)
def test_a_bad_request_is_told_what_is_allowed(
    server: ModelServer, method: str, path: str, body: Any, status: int, message: str
) -> None:
    with pytest.raises(HTTPError) as caught:
        _call(server, method, path, body)
    assert caught.value.code == status
    assert json.load(caught.value)["error"]["message"].startswith(message)


def test_the_schema_of_a_summary_is_accepted(server: ModelServer) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "trace_summary", "schema": RESPONSE_SCHEMA}}
    answer = _call(server, "POST", "/v1/chat/completions", _chat(response_format=wanted))
    assert set(json.loads(answer["choices"][0]["message"]["content"])) == set(RESPONSE_SCHEMA["required"])


def test_json_mode_and_no_format_at_all_are_answered_with_the_same_summary(server: ModelServer) -> None:
    contents = [
        _call(server, "POST", "/v1/chat/completions", _chat("As JSON, please", **wanted))["choices"][0]["message"]
        for wanted in ({}, {"response_format": {"type": "json_object"}}, {"response_format": {"type": "text"}})
    ]
    assert contents[0] == contents[1] == contents[2]


def test_tokens_are_those_of_the_encoding_with_the_schema(server: ModelServer) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "trace_summary", "schema": RESPONSE_SCHEMA}}
    plain = _call(server, "POST", "/v1/chat/completions", _chat("hello world"))["usage"]
    strict = _call(server, "POST", "/v1/chat/completions", _chat("hello world", response_format=wanted))["usage"]
    schema_tokens = count_tokens(json.dumps(RESPONSE_SCHEMA))
    assert plain["prompt_tokens"] == 2 + 4 + 3
    assert strict["prompt_tokens"] == plain["prompt_tokens"] + schema_tokens
    assert plain["prompt_tokens_details"] == {"cached_tokens": 0}


def test_an_answer_longer_than_its_limit_is_cut_off(server: ModelServer) -> None:
    answer = _call(server, "POST", "/v1/chat/completions", _chat("Where is my order?", max_completion_tokens=20))
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] <= 21, "a cut within a word can count one more"


@pytest.mark.parametrize(("asked", "answered"), [({}, "default"), ({"service_tier": "flex"}, "flex")])
def test_the_service_tier_is_answered_and_logged(server: ModelServer, asked: dict[str, str], answered: str) -> None:
    assert _call(server, "POST", "/v1/chat/completions", _chat(**asked))["service_tier"] == answered
    assert server.requests()["entries"][-1]["service_tier"] == answered


def test_a_fault_for_a_parameter_is_for_requests_that_send_it(server: ModelServer) -> None:
    _call(server, "POST", "/_faults", [{"sent": {"response_format.type": "json_object", "seed": None}, "status": 400}])
    harmless: dict[str, Any] = {"response_format": {"type": "text"}, "seed": 1}
    assert _call(server, "POST", "/v1/chat/completions", _chat(**harmless))
    with pytest.raises(HTTPError):
        _call(server, "POST", "/v1/chat/completions", _chat("json", response_format={"type": "json_object"}, seed=1))


def test_forty_clients_at_once_wait_for_the_latency_together(server: ModelServer) -> None:
    server.latency_seconds = 0.5
    began = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda n: _call(server, "POST", "/v1/chat/completions", _chat(f"{n}")), range(40)))
    assert 0.5 <= time.monotonic() - began < 3
    assert len({answer["id"] for answer in answers}) == 40
    assert server.requests()["count"] == 40


def test_an_answer_over_a_kept_connection_does_not_wait_for_the_network(server: ModelServer) -> None:
    client = openai.OpenAI(api_key="k", base_url=server.base_url)
    client.models.list()
    began = time.monotonic()
    for _ in range(20):
        client.models.list()
    assert time.monotonic() - began < 0.7, "40 ms each would be Nagle's algorithm"
    client.close()


def test_it_runs_as_its_own_process_and_ends_on_sigterm(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'lambdas'}:{ROOT}"}
    command = [sys.executable, "-m", "local.model_server", "--port", "0", "--log", str(tmp_path / "log.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        with urlopen(f"{ready['base_url']}/models", timeout=5) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert ready["base_url"] == f"http://127.0.0.1:{ready['port']}/v1"
