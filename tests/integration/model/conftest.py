from collections.abc import Iterator

import pytest

from adapters.model import OpenAiSummaryModel
from local.model_server import ModelServer


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    server = ModelServer(log=tmp_path_factory.mktemp("model") / "requests.jsonl")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def model(server: ModelServer) -> Iterator[OpenAiSummaryModel]:
    model = OpenAiSummaryModel("sk-test-key-that-must-not-leak", server.base_url, "offline")
    yield model
    model.close()
