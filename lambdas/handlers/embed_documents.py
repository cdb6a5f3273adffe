"""EmbedDocuments: a batch of embedding requests from Kafka, each to a row of `document_embeddings`."""

import base64
import functools
import os
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.clickhouse_embeddings import ClickHouseEmbeddingStore
from adapters.failure_place import S3FailurePlace
from adapters.secrets import ModelSecret
from adapters.settings import ClickHouseSettings, EmbeddingModelSettings, EventSourceSettings
from embedding.batches import BatchParts, BatchResult, QueueRecord, embed_batch
from embedding.ports import EmbeddingModel, RecordPosition
from embedding.vectors import UnsavedVectors
from handlers.edge import Event, logged_errors
from trace_summarization.errors import InvalidInput

logger = Logger()
metrics = Metrics()

_EVENT_SOURCES: Final = ("aws:kafka", "SelfManagedKafka")
_TOLD_RECORDS: Final = 20
_unsaved: Final = UnsavedVectors()


@functools.lru_cache(maxsize=1)
def _model(secret: ModelSecret) -> EmbeddingModel:
    """The model's client, kept until the secret changes: a rotated key must not wait for a new process."""
    from adapters.embedding_model import OpenAiEmbeddingModel  # takes half a second, which nobody needs who only reuses

    return OpenAiEmbeddingModel(secret)


def _parts(failure_bucket: str) -> BatchParts:
    settings = EmbeddingModelSettings.from_environment(os.environ)
    return BatchParts(
        store=ClickHouseEmbeddingStore.from_settings(ClickHouseSettings.from_environment(os.environ)),
        model=lambda: _model(ModelSecret.read(settings.embedding_secret_arn)),
        failures=S3FailurePlace(failure_bucket),
        configured_models=settings.embedding_models,
        unsaved=_unsaved,
        max_input_tokens=settings.embedding_max_input_tokens,
    )


@metrics.log_metrics
@logged_errors(logger, "Embedding a batch failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """The event of a Kafka event source -> `{"batchItemFailures": [...]}`, the records to deliver again.

    Without partial batch responses the event source takes any answer for success: then it raises what left a record.
    """
    source = EventSourceSettings.from_environment(os.environ)
    records = _records(event)
    batch = embed_batch(records, _parts(source.failure_bucket), lambda: context.get_remaining_time_in_millis() / 1_000)
    _measure(batch)
    _log(records, batch)
    if batch.error is not None and not source.partial_batch_responses:
        raise batch.error
    return {"batchItemFailures": [{"itemIdentifier": _identifier(position)} for position in batch.left]}


def _records(event: Event) -> list[QueueRecord]:
    """The event's records by partition, each partition's in its order."""
    if event.get("eventSource") not in _EVENT_SOURCES or not isinstance(event.get("records"), dict):
        raise InvalidInput(f"event: is none of a Kafka event source; allowed are those of {', '.join(_EVENT_SOURCES)}")
    return [
        QueueRecord(RecordPosition(record["topic"], record["partition"], record["offset"]), _value(record))
        for of_partition in event["records"].values()
        for record in of_partition
    ]


def _value(record: dict[str, Any]) -> bytes | None:
    value = record.get("value")
    return None if value is None else base64.b64decode(value)


def _identifier(position: RecordPosition) -> dict[str, Any]:
    """How Lambda names a record of Kafka: `{"partition": "topic-0", "offset": 42}`."""
    return {"partition": f"{position.topic}-{position.partition}", "offset": position.offset}


def _measure(batch: BatchResult) -> None:
    for name, count in (
        ("DocumentsEmbedded", batch.documents_embedded),
        ("EmbeddingsReused", batch.embeddings_reused),
        ("EmbeddingsUnneeded", batch.embeddings_unneeded),
        ("BrokenRecords", len(batch.broken)),
        ("EmbeddingRequests", batch.model_requests),
        ("EmbeddingInputTokens", batch.input_tokens),
        ("EmbeddingInputsCut", len(batch.cut)),
    ):
        metrics.add_metric(name, MetricUnit.Count, count)


def _log(records: list[QueueRecord], batch: BatchResult) -> None:
    for position, reason in list(batch.broken.items())[:_TOLD_RECORDS]:
        logger.warning("A broken record was kept", extra={**_identifier(position), "reason": reason})
    if batch.cut:
        told = [_identifier(position) for position in sorted(batch.cut, key=_order)[:_TOLD_RECORDS]]
        logger.warning("Texts were cut to the model's window", extra={"inputs_cut": len(batch.cut), "records": told})
    if batch.unlisted is not None:
        extra = {"error": type(batch.unlisted).__name__, "detail": str(batch.unlisted)}
        logger.warning("The failure place does not say what it holds", extra=extra)
    left = {}
    if batch.error is not None:
        left = {"error": type(batch.error).__name__, "detail": str(batch.error)}
    logger.info(
        "Batch processed",
        extra={
            "records": len(records),
            "documents_embedded": batch.documents_embedded,
            "embeddings_reused": batch.embeddings_reused,
            "embeddings_unneeded": batch.embeddings_unneeded,
            "records_broken": len(batch.broken),
            "records_left": len(batch.left),
            "model_requests": batch.model_requests,
            "input_tokens": batch.input_tokens,
            **left,
        },
    )


def _order(position: RecordPosition) -> tuple[str, int, int]:
    return position.topic, position.partition, position.offset
