"""EmbedDocuments: a batch of embedding requests from Kafka, each to a row of `document_embeddings`."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.settings import ClickHouseSettings, EmbeddingModelSettings, EventSourceSettings
from handlers.edge import Event, logged_errors

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logged_errors(logger, "Embedding a batch failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """A Kafka event -> `{"batchItemFailures": [...]}`."""
    ClickHouseSettings.from_environment(os.environ)
    EmbeddingModelSettings.from_environment(os.environ)
    EventSourceSettings.from_environment(os.environ)
    raise NotImplementedError
