"""RequeueEmbeddings: queue anew the summaries of a window that have no row for an embedding model."""

import functools
import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.clickhouse_requeue import ClickHouseRequeueStore
from adapters.kafka import KafkaEmbeddingQueue
from adapters.settings import ClickHouseSettings, KafkaSettings
from embedding.requeue import requeue, requeue_inputs
from handlers.edge import Event, logged_errors

logger = Logger()
metrics = Metrics()


@functools.cache
def _store() -> ClickHouseRequeueStore:
    return ClickHouseRequeueStore.from_settings(ClickHouseSettings.from_environment(os.environ))


@functools.cache
def _queue(settings: KafkaSettings) -> KafkaEmbeddingQueue:
    return KafkaEmbeddingQueue(settings)


@metrics.log_metrics
@logged_errors(logger, "Queueing missing embeddings failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """`{team_id, window_start, window_end, mode, models, limit, after, dry_run}` -> RequeueResult."""
    inputs = requeue_inputs(event)
    logger.append_keys(team_id=inputs.team_id)
    settings = KafkaSettings.from_environment(os.environ)

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1_000

    result = requeue(inputs, settings.embedding_models, _store(), _queue(settings), seconds_left)
    document = result.model_dump(mode="json")
    if result.error is None:
        logger.info("Missing embeddings queued", extra=document)
    else:
        logger.error("The broker takes no embedding requests", extra=document)
    metrics.add_metric("EmbeddingRequestsRequeued", MetricUnit.Count, result.queued)
    metrics.add_metric("EmbeddingRequestsFailed", MetricUnit.Count, result.failed)
    metrics.add_metric("SummariesDamaged", MetricUnit.Count, result.damaged)
    return document
