"""RequeueEmbeddings: queue anew the summaries of a window that have no row for an embedding model."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.settings import ClickHouseSettings, KafkaSettings
from handlers.edge import Event, logged_errors

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logged_errors(logger, "Queueing missing embeddings failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """`{team_id, window_start, window_end, mode, ...}` -> counts."""
    ClickHouseSettings.from_environment(os.environ)
    KafkaSettings.from_environment(os.environ)
    raise NotImplementedError
