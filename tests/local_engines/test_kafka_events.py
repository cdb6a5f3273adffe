"""Events of Kafka records and what a function's answer to one says, in the forms that Lambda documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.kafka_events import EventSource, Record, event_of, failed_offsets, taken_by_one_event
from local.lambda_runtime import MAX_PAYLOAD_BYTES

SOURCE = EventSource("127.0.0.1:9092")


def record(partition: int, offset: int, size: int = 1) -> Record:
    body = {"topic": "documents", "partition": partition, "offset": offset, "value": "x" * size}
    return Record("documents", partition, offset, 1_736_949_600_000, body)


BATCH = [record(partition, offset) for partition in (0, 1) for offset in (5, 6, 7)]


def failure(partition: Any, offset: Any) -> dict[str, Any]:
    return {"itemIdentifier": {"partition": partition, "offset": offset}}


def offsets(answer: Any) -> dict[str, int]:
    return failed_offsets(json.dumps(answer).encode(), BATCH)


@pytest.mark.parametrize(
    "answer", [None, "", {}, {"batchItemFailures": None}, {"batchItemFailures": []}], ids=json.dumps
)
def test_an_answer_without_failures_takes_the_batch(answer: Any) -> None:
    assert offsets(answer) == {}


def test_the_lowest_failure_of_each_partition_counts() -> None:
    answer = {"batchItemFailures": [failure("documents-1", 7), failure("documents-1", 6), failure("documents-1", 7)]}
    assert offsets(answer) == {"documents-1": 6}
    answer["batchItemFailures"].append(failure("documents-0", 7))
    assert offsets(answer) == {"documents-0": 7, "documents-1": 6}


@pytest.mark.parametrize(
    "answer",
    [
        [],
        "done",
        7,
        {"batchItemFailures": "0"},
        {"batchItemFailures": ["0"]},
        {"batchItemFailures": [{}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": "documents-0"}]},
        {"batchItemFailures": [failure("documents-0", 99)]},
        {"batchItemFailures": [failure("documents-2", 5)]},
        {"batchItemFailures": [failure("documents-0", "5")]},
        {"batchItemFailures": [failure("documents-0", 5.0)]},
        {"batchItemFailures": [failure(0, 5)]},
        {"batchItemFailures": [failure(["documents-0"], 5)]},
        {"batchItemFailures": [failure("documents-0", 6), failure("documents-0", 99)]},
    ],
    ids=json.dumps,
)
def test_an_answer_that_breaks_the_form_fails_the_whole_batch(answer: Any) -> None:
    assert offsets(answer) == {"documents-0": 5, "documents-1": 5}


def test_an_event_is_as_large_as_a_payload_may_be_and_no_larger() -> None:
    half = MAX_PAYLOAD_BYTES // 2 - 200
    fitting = [record(0, 0, half), record(0, 1, half)]
    assert taken_by_one_event(SOURCE, fitting) == fitting
    assert MAX_PAYLOAD_BYTES - 1_000 < len(event_of(SOURCE, fitting)) <= MAX_PAYLOAD_BYTES
    assert taken_by_one_event(SOURCE, [*fitting, record(0, 2)]) == [*fitting, record(0, 2)]
    assert taken_by_one_event(SOURCE, [*fitting, record(0, 2, 400)]) == fitting
    assert taken_by_one_event(SOURCE, [record(0, 0, MAX_PAYLOAD_BYTES)]) == []


def test_the_size_of_an_event_is_never_estimated_too_low() -> None:
    for count in (1, 10, 1_000):
        records = [record(number % 3, number, 5_900_000 // count) for number in range(count)]
        taken = taken_by_one_event(SOURCE, [*records, *records])
        assert len(event_of(SOURCE, taken)) <= MAX_PAYLOAD_BYTES
