from collections.abc import Iterator

import pytest

from adapters.embedding_model import OpenAiEmbeddingModel
from adapters.model import OpenAiSummaryModel
from adapters.secrets import ModelSecret
from local.model_server import ModelServer
from tests.spending import RecordedSpending


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    server = ModelServer(log=tmp_path_factory.mktemp("model") / "requests.jsonl")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def model(server: ModelServer) -> Iterator[OpenAiSummaryModel]:
    key = "sk-test-key-that-must-not-leak"
    model = OpenAiSummaryModel(ModelSecret(api_key=key, base_url=server.base_url, provider="offline"))
    yield model
    model.close()


@pytest.fixture
def spending() -> RecordedSpending:
    return RecordedSpending()


@pytest.fixture
def embedding_server() -> Iterator[ModelServer]:
    server = ModelServer(embedding_dimensions={"text-embedding-3-small": 1_536, "some/other-model": 1_024})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def embedding_model(embedding_server: ModelServer) -> Iterator[OpenAiEmbeddingModel]:
    model = OpenAiEmbeddingModel(ModelSecret(api_key="sk-test-key", base_url=embedding_server.base_url))
    yield model
    model.close()
