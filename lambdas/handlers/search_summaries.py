"""SearchSummaries: a team's summaries by meaning and by words."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.settings import ClickHouseSettings, EmbeddingModelSettings
from handlers.edge import Event, logged_errors

logger = Logger()
metrics = Metrics()


@metrics.log_metrics
@logged_errors(logger, "Searching summaries failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """`SearchRequest` -> `SearchPage`."""
    ClickHouseSettings.from_environment(os.environ)
    EmbeddingModelSettings.from_environment(os.environ)
    raise NotImplementedError
