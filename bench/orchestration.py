"""`orchestration`: what the workflow adds to the model's own time: 100 traces, 20 at once, 2 s each."""

import json
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local.executions import describe, start
from local.stack import Stack
from local.stack_info import StackInfo
from local.stack_options import StackOptions
from trace_summarization.timestamps import format_rfc3339

_TRACES = 100
_BATCH_SIZE = 20
_MODEL_SECONDS = 2.0
_IDEAL_SECONDS = _TRACES / _BATCH_SIZE * _MODEL_SECONDS
_MAX_RATIO = 1.5
_START = datetime(2025, 1, 15, 14, tzinfo=UTC)


def run() -> dict[str, Any]:
    """Time one team's run with cold workers, then another team's with warm ones."""
    with tempfile.TemporaryDirectory(prefix="orchestration-") as folder:
        options = StackOptions(
            Path(folder), persistent=False, workers=_BATCH_SIZE, model_latency_seconds=_MODEL_SECONDS, poller=False
        )
        with Stack(options) as stack:
            info = stack.start()
            cold = _timed_run(info, team_id=1)
            warm = sorted(_timed_run(info, team_id) for team_id in (2, 3, 4))
    return {
        "traces": _TRACES,
        "batch_size": _BATCH_SIZE,
        "model_seconds": _MODEL_SECONDS,
        "ideal_seconds": _IDEAL_SECONDS,
        "seconds": round(warm[1], 2),
        "ratio": round(warm[1] / _IDEAL_SECONDS, 3),
        "ratios": [round(seconds / _IDEAL_SECONDS, 3) for seconds in warm],
        "cold_seconds": round(cold, 2),
        "cold_ratio": round(cold / _IDEAL_SECONDS, 3),
    }


def _timed_run(info: StackInfo, team_id: int) -> float:
    """Seconds from start to stop of the team's execution, by Step Functions' own times."""
    _add_traces(info, team_id)
    inputs = {
        "team_id": team_id,
        "batch_size": _BATCH_SIZE,
        "window_start": format_rfc3339(_START),
        "window_end": format_rfc3339(_START + timedelta(hours=1)),
    }
    arn = start(info, info.team_machine_arn, inputs)
    client = info.aws("stepfunctions")
    while (told := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.2)
    output = describe(info, arn).output
    if output is None or output["metrics"]["summaries_generated"] != _TRACES:
        raise RuntimeError(f"the run did not summarize {_TRACES} traces: {output}")
    return float((told["stopDate"] - told["startDate"]).total_seconds())


def _add_traces(info: StackInfo, team_id: int) -> None:
    rows = []
    for number in range(_TRACES):
        trace_id = str(uuid.uuid4())
        properties = {
            "$ai_trace_id": trace_id,
            "$ai_input": [{"role": "user", "content": f"Where is order {number}?"}],
            "$ai_output_choices": [{"role": "assistant", "content": "It ships tomorrow."}],
        }
        moment = _START + timedelta(seconds=number)
        rows.append([str(uuid.uuid4()), "$ai_generation", json.dumps(properties), moment, team_id, "user", moment])
    with info.clickhouse() as client:
        columns = ["uuid", "event", "properties", "timestamp", "team_id", "distinct_id", "created_at"]
        client.insert(info.clickhouse_events_table, rows, column_names=columns)


def report(result: dict[str, Any]) -> str:
    """The result as lines."""
    return (
        f"{result['traces']} traces, {result['batch_size']} at once, a model of {result['model_seconds']} s: "
        f"{result['seconds']} s, {result['ratio']} of the ideal {result['ideal_seconds']} s (at most {_MAX_RATIO}); "
        f"cold {result['cold_seconds']} s, {result['cold_ratio']}"
    )


def passes(result: dict[str, Any]) -> bool:
    """Whether the warm run stays within its limit."""
    return bool(result["ratio"] <= _MAX_RATIO)
