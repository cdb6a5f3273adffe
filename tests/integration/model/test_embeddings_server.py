"""Embeddings of the offline model server: by meaning, by chance, limits, faults, and its log."""

import base64
import hashlib
import json
import math
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from local.model_process import ModelProcess
from local.model_server import ModelServer

BY_MEANING = "offline-wordllama"
BY_CHANCE = "text-embedding-3-small"
ROOT = Path(__file__).parents[3]


def _embed(server: ModelServer, given: Any, model: Any = BY_MEANING, **fields: Any) -> Any:
    body = json.dumps({"model": model, "input": given, **fields}).encode()
    request = Request(f"{server.base_url}/embeddings", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=20) as answer:
        return json.load(answer)


def _vectors(server: ModelServer, given: Any, model: str = BY_MEANING, **fields: Any) -> list[list[float]]:
    return [item["embedding"] for item in _embed(server, given, model, **fields)["data"]]


def _similarity(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_texts_of_like_meaning_are_nearer_than_others(embedding_server: ModelServer) -> None:
    asked, like, unlike = _vectors(
        embedding_server,
        ["The customer wants the money back", "A refund was requested", "The unit tests fail to compile"],
    )
    assert _similarity(asked, like) > _similarity(asked, unlike) + 0.1


@pytest.mark.parametrize(("model", "size"), [(BY_MEANING, 256), (BY_CHANCE, 1_536)])
def test_vectors_have_their_model_s_size_and_length_one(embedding_server: ModelServer, model: str, size: int) -> None:
    for vector in _vectors(embedding_server, ["One text", "another", "😀👍🏽", " "], model):
        assert len(vector) == size
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("model", "sizes"), [(BY_MEANING, (64, 128, 256)), (BY_CHANCE, (1, 256, 1_536))])
def test_fewer_dimensions_are_the_first_ones_made_longer(
    embedding_server: ModelServer, model: str, sizes: tuple[int, ...]
) -> None:
    [whole] = _vectors(embedding_server, "A text", model)
    for size in sizes:
        [vector] = _vectors(embedding_server, "A text", model, dimensions=size)
        length = math.hypot(*whole[:size])
        assert vector == pytest.approx([number / length for number in whole[:size]], abs=1e-6)


def test_a_text_has_the_same_vector_whatever_stands_beside_it(embedding_server: ModelServer) -> None:
    texts = ["short", "a longer text " * 200, "日本語のテキスト"]
    together = _vectors(embedding_server, texts)
    assert [_vectors(embedding_server, text)[0] for text in texts] == together


def test_base64_holds_the_same_numbers(embedding_server: ModelServer) -> None:
    [numbers] = _vectors(embedding_server, "A text")
    [encoded] = _embed(embedding_server, "A text", encoding_format="base64")["data"]
    assert list(struct.unpack("<256f", base64.b64decode(encoded["embedding"]))) == numbers


def test_many_clients_at_once_get_what_each_alone_would(embedding_server: ModelServer) -> None:
    texts = [f"Text {number} of many, " * (number % 7 + 1) for number in range(64)]
    with ThreadPoolExecutor(16) as pool:
        at_once = list(pool.map(lambda text: _vectors(embedding_server, text)[0], texts))
    assert at_once == _vectors(embedding_server, texts)


def test_tokens_are_those_of_openai_s_embedding_models(embedding_server: ModelServer) -> None:
    answer = _embed(embedding_server, ["hello world", "Where is my order?"])
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert (answer["model"], answer["object"]) == (BY_MEANING, "list")


@pytest.mark.parametrize(
    ("given", "fields", "status", "code", "message"),
    [
        ("x", {"model": "gpt-4"}, 404, "model_not_found", "The model `gpt-4` does not exist"),
        ("x", {"model": None}, 400, None, "you must provide a model parameter"),
        ([], {}, 400, None, "'$.input' is invalid: allowed is a string or a non-empty array"),
        ({}, {}, 400, None, "'$.input' is invalid: allowed is a string"),
        ([1, 2], {}, 400, None, "'$.input' is invalid: this server takes strings, no arrays of tokens"),
        ([[1], [2]], {}, 400, None, "'$.input' is invalid: this server takes strings, no arrays of tokens"),
        (["x", ""], {}, 400, None, "Invalid 'input[1]': input cannot be an empty string"),
        (["x"] * 2_049, {}, 400, None, "Invalid 'input': array too long"),
        (["x", "word " * 8_200], {}, 400, None, "Invalid 'input[1]': maximum context length is 8192 tokens"),
        (["word " * 8_000] * 38, {}, 400, "max_tokens_per_request", "Requested 304038 tokens, max 300000 tokens"),
        ("x", {"dimensions": 100}, 400, None, "Invalid value for 'dimensions' = 100: allowed are 64, 128, 256."),
        ("x", {"dimensions": 1_537, "model": BY_CHANCE}, 400, None, "Invalid value for 'dimensions' = 1537"),
        ("x", {"encoding_format": "int8"}, 400, None, "encoding_format: allowed are float and base64"),
    ],
)  # fmt: skip
def test_what_openai_would_not_take_is_rejected_in_its_form_and_logged(
    embedding_server: ModelServer, given: Any, fields: dict[str, Any], status: int, code: str | None, message: str
) -> None:
    with pytest.raises(HTTPError) as caught:
        _embed(embedding_server, given, **fields)
    error = json.load(caught.value)["error"]
    assert (caught.value.code, error["code"]) == (status, code)
    assert error["message"].startswith(message)
    assert embedding_server.requests()["entries"][-1]["status"] == status


def test_as_many_as_openai_takes_are_taken(embedding_server: ModelServer) -> None:
    assert len(_vectors(embedding_server, ["x"] * 2_048, BY_CHANCE, dimensions=8)) == 2_048


def test_every_request_is_logged_with_its_texts_hashes(embedding_server: ModelServer) -> None:
    embedding_server.faults.replace([{"match": "boom", "status": 500}])
    _embed(embedding_server, ["One", "Two"], dimensions=64)
    with pytest.raises(HTTPError):
        _embed(embedding_server, ["boom"])
    first, second = embedding_server.requests()["entries"]
    assert (first["kind"], first["model"], first["status"], first["inputs"]) == ("embeddings", BY_MEANING, 200, 2)
    assert first["input_sha256"] == [hashlib.sha256(text).hexdigest() for text in (b"One", b"Two")]
    assert (first["input_tokens"], first["dimensions"], first["parameters"]) == (2, 64, ["dimensions"])
    assert (second["status"], second["fault"]) == (500, "status 500")


@pytest.mark.parametrize(
    ("kind", "indexes"),
    [("shuffled", [2, 1, 0]), ("missing_one", [0, 1]), ("duplicate_index", [0, 1, 0]), ("nothing", [])],
)
def test_a_fault_of_the_order_is_one(embedding_server: ModelServer, kind: str, indexes: list[int]) -> None:
    embedding_server.faults.replace([{"kind": kind}])
    assert [item["index"] for item in _embed(embedding_server, ["a", "b", "c"])["data"]] == indexes


def test_faults_of_vectors_hit_the_matching_inputs_alone(embedding_server: ModelServer) -> None:
    faulty = [{"match": kind, "kind": kind, "times": 1} for kind in ("wrong_dimensions", "nan", "zeros")]
    sound = _vectors(embedding_server, "fine")[0]
    embedding_server.faults.replace(faulty)
    shorter, beside = _vectors(embedding_server, ["wrong_dimensions", "fine"])
    assert (len(shorter), beside) == (128, sound)
    not_finite, beside = _vectors(embedding_server, ["nan", "fine"])
    assert (math.isnan(not_finite[-1]), beside) == (True, sound)
    zeros, beside = _vectors(embedding_server, ["zeros", "fine"])
    assert (set(zeros), beside) == ({0.0}, sound)


def test_chat_s_own_faults_do_not_hit_embeddings(embedding_server: ModelServer) -> None:
    embedding_server.faults.replace([{"kind": "invalid_json"}, {"sent": {"messages": None}, "status": 500}])
    assert len(_vectors(embedding_server, "x")) == 1


def test_its_process_serves_the_models_that_it_is_started_with(tmp_path: Path) -> None:
    process = ModelProcess(0, tmp_path / "log.jsonl", embedding_dimensions={"a=b": 3, "c": 4})
    process.start()
    try:
        with urlopen(f"{process.base_url}/models", timeout=5) as answer:
            names = [model["id"] for model in json.load(answer)["data"]]
    finally:
        process.stop()
    assert names == ["offline-extractive", "offline-wordllama", "a=b", "c"]


@pytest.mark.parametrize("option", ["name", "name=", "=3", "name=0", "name=99999"])
def test_a_model_without_a_size_is_told_what_is_allowed(option: str) -> None:
    command = [sys.executable, "-m", "local.model_server", "--embedding-dimensions", option]
    environment = {"PYTHONPATH": f"{ROOT / 'lambdas'}:{ROOT}"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "allowed is NAME=N with 1 to 16384 numbers" in done.stderr
