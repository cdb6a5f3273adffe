"""SummarizeTrace: one trace from stored events to stored summary and queued embedding."""

import functools
import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.clickhouse import ClickHouseSummaryStore, ClickHouseTraceStore
from adapters.kafka import KafkaEmbeddingQueue
from adapters.model import OpenAiSummaryModel
from adapters.secrets import ModelSecret
from adapters.settings import ClickHouseSettings, KafkaSettings, ModelSettings, SpendingSettings
from adapters.spending import DynamoDbSpending
from handlers.edge import Event, logged_errors
from trace_summarization.models import TeamRun
from trace_summarization.pipeline import Phases, PipelineResult, TracePipeline

logger = Logger()
metrics = Metrics()


def _pipeline() -> TracePipeline:
    clickhouse = ClickHouseSettings.from_environment(os.environ)
    kafka = KafkaSettings.from_environment(os.environ)
    model_secret_arn = ModelSettings.from_environment(os.environ).model_secret_arn
    table = SpendingSettings.from_environment(os.environ).coordination_table
    return TracePipeline(
        traces=ClickHouseTraceStore.from_settings(clickhouse),
        summaries=ClickHouseSummaryStore.from_settings(clickhouse),
        model=lambda: _model(ModelSecret.read(model_secret_arn)),
        queue=_queue(kafka),
        embedding_models=kafka.embedding_models,
        spending=lambda run: DynamoDbSpending(table, run),
    )


@functools.lru_cache(maxsize=1)
def _model(secret: ModelSecret) -> OpenAiSummaryModel:
    """The model's client, kept until the secret changes: a rotated key must not wait for a new process."""
    return OpenAiSummaryModel(secret)


@functools.cache
def _queue(settings: KafkaSettings) -> KafkaEmbeddingQueue:
    return KafkaEmbeddingQueue(settings)


@metrics.log_metrics
@logged_errors(logger, "Failed to generate summary for trace")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """`{run, trace_id}` -> SummarizationActivityResult."""
    run = TeamRun.model_validate(event["run"])
    trace_id = event["trace_id"]
    logger.append_keys(
        team_id=run.team_id, batch_run_id=run.batch_run_id, execution_id=run.execution_id, trace_id=trace_id
    )
    phases = Phases()

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1_000

    try:
        done = _pipeline().summarize(run, trace_id, phases, seconds_left)
    finally:
        durations = {f"{phase}_seconds": round(seconds, 4) for phase, seconds in phases.seconds.items()}
        logger.append_keys(**durations)
        for phase, seconds in phases.seconds.items():
            metrics.add_metric(f"{phase.capitalize()}Duration", MetricUnit.Seconds, seconds)
    _log(done)
    return done.result.model_dump(mode="json", exclude_none=True)


def _log(done: PipelineResult) -> None:
    usage = done.usage
    took = (
        {
            "input_tokens": usage.input_tokens,
            "cached_input_tokens": usage.cached_input_tokens,
            "output_tokens": usage.output_tokens,
            "model_calls": usage.calls,
            "cost_usd": usage.cost_usd,
        }
        if usage
        else {}
    )
    why = {"detail": str(done.because)} if done.because else {}
    if done.embedding_error is not None:
        extra = {"error": type(done.embedding_error).__name__, "detail": str(done.embedding_error)}
        logger.warning("Embedding request could not be queued", extra=extra)
    logger.info("Trace processed", extra={**done.result.model_dump(mode="json", exclude_none=True), **took, **why})
