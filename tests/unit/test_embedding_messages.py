"""What the embedding queue's messages may hold: the parser and the published schema say the same."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from embedding.messages import SCHEMA_FILE_NAME, BrokenMessage, message_schema, parse_message
from embedding.requests import content_hash, embedding_request, encode
from tests.embedding_documents import MODEL, message
from tests.golden_file import assert_golden
from tests.unit.test_events import FIRST, event
from trace_summarization import constants as c

SCHEMA_FILE = Path(__file__).parents[2] / "lambdas" / "embedding" / SCHEMA_FILE_NAME
SECRET = "what nobody may read in a log"

GOOD: list[dict[str, Any]] = [
    {},
    {"metadata": None, "keywords": None},
    {"keywords": "x" * c.MAX_KEYWORDS_LENGTH, "another field": {"a": [None]}, "$": 1},
    {"document_id": 'it\'s "a" trace\n\0😀'},
    {"document_id": "😀" * c.MAX_TRACE_ID_LENGTH},
    {"team_id": c.MAX_TEAM_ID},
    {"rendering": "llma_trace_minimal"},
    {"models": ["text-embedding-3-small-1536", "BAAI/bge-m3:latest-16384"]},
    {"models": [MODEL] * 10},
    {"timestamp": "1970-01-01T00:00:00Z", "summarized_at": "2148-12-31T23:59:59.999999999Z"},
    {"timestamp": "2024-02-29t12:00:00.5+05:30"},
    {"metadata": {"a": {"b": [1.5, None, True, "\0"]}}},
]

BROKEN: list[tuple[dict[str, Any], str]] = [
    *(({name: None}, name) for name in message() if name != "metadata"),
    ({"version": 2}, "version"),
    ({"version": 0}, "version"),
    ({"version": True}, "version"),
    ({"version": "1"}, "version"),
    ({"team_id": 0}, "team_id"),
    ({"team_id": -1}, "team_id"),
    ({"team_id": True}, "team_id"),
    ({"team_id": "1"}, "team_id"),
    ({"team_id": 1.5}, "team_id"),
    ({"team_id": c.MAX_TEAM_ID + 1}, "team_id"),
    ({"product": SECRET}, "product"),
    ({"document_type": SECRET}, "document_type"),
    ({"rendering": SECRET}, "rendering"),
    ({"rendering": ["llma_trace_minimal"]}, "rendering"),
    ({"document_id": ""}, "document_id"),
    ({"document_id": "x" * (c.MAX_TRACE_ID_LENGTH + 1)}, "document_id"),
    ({"document_id": 5}, "document_id"),
    ({"timestamp": 1736949600}, "timestamp"),
    ({"timestamp": SECRET}, "timestamp"),
    ({"timestamp": "2025-01-15"}, "timestamp"),
    ({"timestamp": "2025-01-15T12:00:00"}, "timestamp"),
    ({"timestamp": "2025-13-15T12:00:00Z"}, "timestamp"),
    ({"timestamp": "2025-01-15T12:00:60Z"}, "timestamp"),
    ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp"),
    ({"timestamp": "0001-01-01T00:00:00Z"}, "timestamp"),
    ({"summarized_at": "2149-01-01T00:00:00Z"}, "summarized_at"),
    ({"summarized_at": "9999-12-31T23:59:59Z"}, "summarized_at"),
    ({"content_hash": "0" * 63}, "content_hash"),
    ({"content_hash": "A" * 64}, "content_hash"),
    ({"content": "", "content_hash": content_hash("")}, "content"),
    ({"content": " \n\t", "content_hash": content_hash(" \n\t")}, "content"),
    ({"content": f"{SECRET}\0", "content_hash": content_hash(f"{SECRET}\0")}, "content"),
    ({"content": [SECRET]}, "content"),
    ({"keywords": [SECRET]}, "keywords"),
    ({"keywords": "x" * (c.MAX_KEYWORDS_LENGTH + 1)}, "keywords"),
    ({"metadata": [SECRET]}, "metadata"),
    ({"metadata": SECRET}, "metadata"),
    ({"models": []}, "models"),
    ({"models": [MODEL] * 11}, "models"),
    ({"models": MODEL}, "models"),
    ({"models": [5]}, "models"),
    ({"models": ["text-embedding-3-small"]}, "models"),
    ({"models": ["a model-4"]}, "models"),
    ({"models": ["x-16385"]}, "models"),
    ({"models": ["x" * 127 + "-4"]}, "models"),
    ({"models": ["-0"]}, "models"),
]
# What a schema cannot say, or not of JSON that is read already.
BROKEN_BESIDES: list[tuple[dict[str, Any], str]] = [
    ({"content_hash": "0" * 64}, "content_hash"),
    ({"timestamp": "2025-02-30T12:00:00Z"}, "timestamp"),
    ({"timestamp": "1970-01-01T00:00:00+02:00"}, "timestamp"),
    ({"team_id": 1.0}, "team_id"),
    ({"content": "\ud800"}, "content"),
    ({"keywords": "\udfff"}, "keywords"),
    ({"metadata": {"\ud800": 1}}, "metadata"),
]


def parse(fields: dict[str, Any]) -> Any:
    return parse_message(json.dumps(fields).encode())


def is_of_schema(fields: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft202012Validator(message_schema()).is_valid(fields))


def test_the_published_schema_is_the_parsers() -> None:
    assert_golden(SCHEMA_FILE, message_schema())
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA_FILE.read_text()))


def test_what_a_summary_queues_is_of_the_schema_and_read_as_it_was() -> None:
    models = ["text-embedding-3-small-1536", "text-embedding-3-large-3072"]
    queued = embedding_request(42, FIRST, event().properties, models)
    assert is_of_schema(queued)
    request = parse_message(encode(queued))
    assert request.timestamp == FIRST
    assert [document.model_name for document in request.documents()] == models
    (document, _) = request.documents()
    assert (document.team_id, document.document_id, document.content) == (42, "trace-1", queued["content"])
    assert json.loads(document.metadata) == queued["metadata"]


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_a_good_message_is_taken_by_parser_and_schema(changes: dict[str, Any]) -> None:
    assert is_of_schema(message(**changes))
    parse(message(**changes))


@pytest.mark.parametrize(("changes", "field"), BROKEN, ids=str)
def test_a_broken_message_is_refused_by_parser_and_schema(changes: dict[str, Any], field: str) -> None:
    assert not is_of_schema(message(**changes))
    with pytest.raises(BrokenMessage) as broken:
        parse(message(**changes))
    assert str(broken.value).startswith(f"{field}: ")
    assert SECRET not in str(broken.value)


@pytest.mark.parametrize(("changes", "field"), BROKEN_BESIDES, ids=str)
def test_the_parser_refuses_what_a_schema_cannot_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BrokenMessage, match=f"^{field}: "):
        parse(message(**changes))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "is missing"),
        (b"", "is not JSON"),
        (SECRET.encode(), "is not JSON"),
        (b"\xff{}", "is not UTF-8"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"a": NaN}', "NaN or Infinity"),
        (b'{"a": -Infinity}', "NaN or Infinity"),
        (b'{"a": 1e999}', "beyond the range"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "is not JSON"),
        (b'{"a": {"b": 1, "b": 2}}', "twice"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "nested too deeply"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_json_object_says_so_and_quotes_nothing(value: bytes | None, reason: str) -> None:
    with pytest.raises(BrokenMessage, match=f"^value: .*{reason}") as broken:
        parse_message(value)
    assert SECRET not in str(broken.value)


def test_a_message_is_measured_before_it_is_read() -> None:
    content = "x" * 900_000
    fitting = json.dumps(message(content=content))
    padded = fitting + " " * (c.MAX_KAFKA_MESSAGE_BYTES - len(fitting))
    parse_message(padded.encode())
    for too_long in (f"{padded} ", "[" * 5_000_000):
        with pytest.raises(BrokenMessage, match=f"has {len(too_long)} bytes; allowed are at most 1048576"):
            parse_message(too_long.encode())


def test_another_version_is_the_only_thing_said_of_it() -> None:
    with pytest.raises(BrokenMessage) as broken:
        parse({"version": 2, "team": "of a shape to come"})
    assert str(broken.value) == "version: should be 1"


def test_times_are_read_to_the_microsecond_in_utc() -> None:
    request = parse(message(timestamp="2025-01-15T16:10:00.1234567+02:00"))
    assert request.timestamp.isoformat() == "2025-01-15T14:10:00.123456+00:00"


def test_a_model_that_is_named_twice_makes_one_document() -> None:
    assert len(parse(message(models=[MODEL, "other-8", MODEL])).documents()) == 2


def test_words_are_of_the_content_and_of_the_keywords() -> None:
    (document,) = parse(message(content="Asked for a REFUND", keywords="update_flights ERR-42")).documents()
    assert document.words == " asked for a refund update flights err 42 "


@pytest.mark.parametrize("depth", [1, 50, 200, 400, 600, 800, 900, 950, 980, 990, 1_000])
def test_nested_metadata_is_either_read_whole_or_refused(depth: int) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    value = json.dumps(message(metadata={"x": "y"})).encode().replace(b'{"x": "y"}', nested)
    try:
        request = parse_message(value)
    except BrokenMessage as broken:
        assert depth > 200, "what people nest is read"
        assert str(broken) == "value: is nested too deeply"  # noqa: PT017 - both ends are right
    else:
        assert request.documents()[0].metadata.encode() == nested
