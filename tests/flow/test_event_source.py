"""The stack's own event source: what summaries queue reaches the function that the template names, in batches."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.lambda_function import FunctionSpec
from tests.flow.workbench import Workbench

# Stands for the worker: keeps the events that it gets.
HANDLER = """
import json, os
from pathlib import Path

def handler(event, context):
    path = Path(__file__).parent / "events.jsonl"
    with path.open("a") as log:
        log.write(json.dumps(event) + chr(10))
    return {"batchItemFailures": []}
"""


@contextmanager
def stand_in(bench: Workbench, folder: Path) -> Iterator[FunctionSpec]:
    """Have a function that keeps its events in the worker's place."""
    runtime = bench.stack.runtime
    assert runtime is not None
    (folder / "app.py").write_text(HANDLER)
    former = next(function for function in runtime.functions if function.name == bench.info.embed_function)
    runtime.update(replace(former, task_root=folder, handler="app.handler"))
    try:
        yield former
    finally:
        runtime.update(former)


def _events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_what_summaries_queue_reaches_the_worker(bench: Workbench, tmp_path: Path) -> None:
    team = bench.new_team()
    traces = bench.add_traces(team, 3)
    bench.metrics_of(team)
    with stand_in(bench, tmp_path), bench.stack.new_poller(consumer_group="test") as poller:
        poller.wait_until_drained()
    messages = [
        json.loads(base64.b64decode(record["value"]))
        for event in _events(tmp_path)
        for record in event["records"][f"{bench.info.kafka_topic}-0"]
    ]
    of_team = [message for message in messages if message["team_id"] == team]
    assert {message["document_id"] for message in of_team} == set(traces)
    assert {tuple(message["models"]) for message in of_team} == {bench.info.embedding_models}


def test_the_worker_is_told_the_bucket_that_the_stack_has(bench: Workbench) -> None:
    assert bench.stack.runtime is not None
    variables = {function.name: function.environment for function in bench.stack.runtime.functions}[
        bench.info.embed_function
    ]
    assert variables["FAILURE_BUCKET"] == bench.info.failure_bucket
    assert variables["PARTIAL_BATCH_RESPONSES"] == "False"
    buckets = bench.info.aws("s3").list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == [bench.info.failure_bucket]
