"""`embed_documents` as Lambda calls it: events of both kinds, answers of both modes, and what it says of a batch."""

import base64
import json
from typing import Any

import pytest

from tests.flow.http_proxy import Fault
from tests.integration.embed_documents.conftest import TOPIC, Worker, queued
from trace_summarization.errors import (
    ClickHouseQueryFailed,
    ClickHouseUnavailable,
    InvalidInput,
    ModelRejectedRequest,
    ModelUnavailable,
    TraceSummarizationError,
)

SECRET_WORD = "hippopotamus"
BROKEN: list[tuple[bytes | None, str]] = [
    (b"x" * 5_000_000, "has 5000000 bytes"),
    (b"no JSON: hippopotamus", "value: is not JSON"),
    (None, "value: is missing"),
    (queued("a", "of the future", version=2), "version: should be 1"),
    (queued("a", ""), "content: "),
    (queued("a", "of nobody", team_id=None), "team_id: is missing"),
    (queued("a", "of another", content_hash="0" * 64), "content_hash: "),
]
MODES = pytest.mark.parametrize("partial", [False, True], ids=["default", "partial"])


def set_mode(worker: Worker, partial: bool) -> None:
    worker.set_environment("PARTIAL_BATCH_RESPONSES", str(partial))


def failed(*offsets: int) -> dict[str, Any]:
    """Lambda's documented answer for records of Kafka that failed."""
    return {
        "batchItemFailures": [{"itemIdentifier": {"partition": f"{TOPIC}-0", "offset": offset}} for offset in offsets]
    }


def assert_left(worker: Worker, partial: bool, error: type[TraceSummarizationError], values: list[bytes]) -> None:
    """All records of the batch are handed back, in the form of the mode."""
    if partial:
        assert worker.deliver(*values) == failed(*range(len(values)))
    else:
        with pytest.raises(error):
            worker.deliver(*values)


@pytest.mark.parametrize("source", ["aws:kafka", "SelfManagedKafka"])
@MODES
def test_records_of_either_event_source_become_rows(worker: Worker, source: str, partial: bool) -> None:
    set_mode(worker, partial)
    values = [queued(f"trace-{number}", f"content {number}") for number in range(20)]
    assert worker.deliver(*values, source=source) == failed()
    assert worker.contents() == sorted(f"content {number}" for number in range(20))
    assert len(worker.model_requests()) == 1
    ((length,),) = worker.client.query(
        f"SELECT DISTINCT length(embedding) FROM {worker.database}.document_embeddings"
    ).result_rows
    assert length == 4


def test_a_batch_that_is_delivered_again_is_neither_paid_for_nor_stored_again(worker: Worker) -> None:
    values = [queued(f"trace-{number}", f"content {number}") for number in range(5)]
    for _ in range(2):
        worker.deliver(*values)
    assert len(worker.model_requests()) == 1
    ((rows,),) = worker.client.query(f"SELECT count() FROM {worker.database}.document_embeddings").result_rows
    assert rows == 5


@MODES
def test_broken_messages_are_kept_and_block_nothing(worker: Worker, partial: bool) -> None:
    set_mode(worker, partial)
    values = [value for value, _ in BROKEN]
    assert worker.deliver(queued("before", "before"), *values, queued("behind", "behind")) == failed()
    assert worker.contents() == ["before", "behind"]
    kept = worker.kept()
    assert kept.keys() == set(range(1, len(BROKEN) + 1))
    for offset, (value, reason) in enumerate(BROKEN, start=1):
        assert (kept[offset]["topic"], kept[offset]["partition"]) == (TOPIC, 0)
        assert reason in kept[offset]["reason"]
        assert kept[offset]["value"] == (None if value is None else base64.b64encode(value).decode())


@MODES
@pytest.mark.parametrize(
    "fault",
    [{"status": 400}, {"kind": "wrong_dimensions"}, {"kind": "nan"}, {"kind": "zeros"}],
    ids=["rejected", "wrong size", "NaN", "zeros"],
)
def test_a_text_without_a_usable_vector_is_kept_and_its_neighbours_are_embedded(
    worker: Worker, partial: bool, fault: dict[str, Any]
) -> None:
    set_mode(worker, partial)
    worker.model.faults.replace([{"match": "poison", **fault}])
    values = [queued(str(number), "poison" if number == 5 else f"content {number}") for number in range(12)]
    assert worker.deliver(*values) == failed()
    assert worker.kept().keys() == {5}
    assert len(worker.contents()) == 11


@MODES
def test_a_model_that_only_a_message_names_is_a_broken_record(worker: Worker, partial: bool) -> None:
    set_mode(worker, partial)
    assert worker.deliver(queued("a", "a", models=["no-such-model-4"]), queued("b", "b")) == failed()
    assert worker.kept().keys() == {0}
    assert worker.contents() == ["b"]


@MODES
def test_a_configured_model_that_is_not_there_leaves_the_queue_as_it_is(worker: Worker, partial: bool) -> None:
    set_mode(worker, partial)
    worker.set_environment("EMBEDDING_MODELS", "no-such-model-4")
    values = [queued(str(number), f"content {number}", models=["no-such-model-4"]) for number in range(3)]
    assert_left(worker, partial, ModelRejectedRequest, values)
    assert worker.kept() == {}


@MODES
def test_clickhouse_being_away_leaves_the_batch_and_costs_nothing(worker: Worker, partial: bool) -> None:
    set_mode(worker, partial)
    values = [queued(str(number), f"content {number}") for number in range(3)]
    with worker.clickhouse.fault(Fault(lambda _: True, reset=True)):
        assert_left(worker, partial, ClickHouseUnavailable, values)
    assert worker.model_requests() == []
    assert worker.deliver(*values) == failed()
    assert len(worker.contents()) == 3


@MODES
def test_a_model_that_there_is_no_time_for_leaves_what_is_not_stored(worker: Worker, partial: bool) -> None:
    set_mode(worker, partial)
    worker.deliver(queued("0", "content 0"))
    worker.context.seconds = 97.0
    values = [queued(str(number), f"content {number}") for number in range(3)]
    if partial:
        assert worker.deliver(*values) == failed(1, 2)
    else:
        with pytest.raises(ModelUnavailable):
            worker.deliver(*values)


def test_what_was_paid_for_survives_a_moment_without_clickhouse(worker: Worker) -> None:
    fault = Fault(lambda request: "INSERT INTO" in request, times=2, reset=True)
    with worker.clickhouse.fault(fault):
        worker.deliver(queued("a", "a"))
    assert (fault.taken, worker.contents(), len(worker.model_requests())) == (2, ["a"], 1)


def test_an_answer_of_clickhouse_that_was_lost_leaves_one_row(worker: Worker) -> None:
    with worker.clickhouse.fault(Fault(lambda request: "INSERT INTO" in request, times=1, lose_answer=True)):
        worker.deliver(queued("a", "a"))
    assert worker.contents() == ["a"]


@pytest.mark.parametrize(
    "event", [{}, {"eventSource": "aws:sqs", "Records": []}, {"eventSource": "aws:kafka"}], ids=str
)
def test_an_event_of_another_kind_is_refused(worker: Worker, event: dict[str, Any]) -> None:
    nothing_to_count = pytest.warns(UserWarning, match="No application metrics to publish")
    with nothing_to_count, pytest.raises(InvalidInput, match="event: is none of a Kafka event source"):
        worker.handler(event, worker.context)


def test_metrics_count_what_came_of_the_batch(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    worker.deliver(queued("stored", "the same"))
    capsys.readouterr()
    worker.set_environment("EMBEDDING_MAX_INPUT_TOKENS", "50")
    worker.deliver(
        queued("stored", "the same"),
        queued("reused", "the same", timestamp="2025-01-16T00:00:00Z"),
        queued("new", "new"),
        queued("long", "a long text " * 100),
        b"broken",
    )
    (metrics,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    names = [metric["Name"] for metric in metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    assert {name: metrics[name] for name in names} == {
        "DocumentsEmbedded": [2.0],
        "EmbeddingsReused": [1.0],
        "EmbeddingsUnneeded": [1.0],
        "BrokenRecords": [1.0],
        "EmbeddingRequests": [1.0],
        "EmbeddingInputTokens": metrics["EmbeddingInputTokens"],
        "EmbeddingInputsCut": [1.0],
    }
    assert 40 <= metrics["EmbeddingInputTokens"][0] <= 51
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]


def test_no_content_is_logged(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.model.faults.replace([{"match": "poison", "status": 400, "body": {"error": {"message": SECRET_WORD}}}])
    worker.deliver(
        queued("a", f"poison {SECRET_WORD}"),
        queued("b", SECRET_WORD, keywords=SECRET_WORD, metadata={"a": SECRET_WORD}),
        f'{{"version": "{SECRET_WORD}", "content": "{SECRET_WORD}"}}'.encode(),
        f"{SECRET_WORD} no JSON".encode(),
    )
    with worker.clickhouse.fault(Fault(lambda _: True, status=500)), pytest.raises(ClickHouseQueryFailed) as raised:
        worker.deliver(queued("c", f"{SECRET_WORD} again"))
    logged = str([vars(entry) for entry in caplog.records])
    assert "A broken record was kept" in logged
    assert "Embedding a batch failed" in logged
    assert SECRET_WORD not in logged + str(raised.value)
