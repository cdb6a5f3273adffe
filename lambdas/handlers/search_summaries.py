"""SearchSummaries: a team's summaries by meaning and by words."""

import functools
import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from adapters.clickhouse_search import ClickHouseSearchStore
from adapters.embedding_model import OpenAiEmbeddingModel
from adapters.secrets import ModelSecret
from adapters.settings import ClickHouseSettings, EmbeddingModelSettings
from embedding.remembered import RememberedEmbeddings
from embedding.search import QueryModel, parse_search_request, search
from handlers.edge import Event, logged_errors

logger = Logger()
metrics = Metrics()

# The rest is the ranking's, which takes longer the more summaries a team has.
_SECONDS_TO_EMBED = 15.0
_SECONDS_TO_ANSWER = 5.0


@functools.lru_cache(maxsize=1)
def _embedding_model(secret: ModelSecret) -> RememberedEmbeddings:
    """The model's client, kept until the secret changes: a rotated key must not wait for a new process."""
    return RememberedEmbeddings(OpenAiEmbeddingModel(secret))


@metrics.log_metrics
@logged_errors(logger, "Searching summaries failed")
def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
    """`SearchRequest` -> `SearchPage`."""
    request = parse_search_request(event)
    logger.append_keys(team_id=request.team_id)
    settings = EmbeddingModelSettings.from_environment(os.environ)

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1_000 - _SECONDS_TO_ANSWER

    seconds_to_rank = seconds_left() - _SECONDS_TO_EMBED

    model = QueryModel(
        names=settings.embedding_models,
        open=lambda: _embedding_model(ModelSecret.read(settings.embedding_secret_arn)),
        seconds_left=lambda: seconds_left() - seconds_to_rank,
        max_input_tokens=settings.embedding_max_input_tokens,
    )
    store = ClickHouseSearchStore.from_settings(ClickHouseSettings.from_environment(os.environ), seconds_left)
    page = search(request, store, model)
    metrics.add_metric("Searches", MetricUnit.Count, 1)
    told = {"method": page.method, "model": page.model, "results": len(page.results), "gone": page.summaries_gone}
    logger.info("Summaries searched", extra=told)
    return page.as_dict()
