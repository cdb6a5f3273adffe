"""`money`: a capped run under injected failures, by the model server's own log, and how good a dry run's estimate is.

The recorded samples are the traces of one team and one day. One team is estimated by a dry run and then run without
failures; another is run with half of the estimate as its cap, while three of ten requests to the model fail.
"""

import json
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from local.executions import Execution, describe, start
from local.load_events import load_events
from local.stack import Stack
from local.stack_info import PROJECT_ROOT, StackInfo
from local.stack_options import StackOptions
from trace_summarization.models import ModelUsage
from trace_summarization.prices import PriceList, cost_nano_usd, nano_usd, usd

_MODEL = "gpt-4.1-mini"
_INPUTS = {
    "window_start": "2025-01-15T00:00:00Z",
    "window_end": "2025-01-16T00:00:00Z",
    "max_traces": 1_000,
    "batch_size": 16,
    "model": _MODEL,
}
# Three of ten requests fail, in equal parts. A reset is the dearest: whether it is billed is unknown, so that its whole
# reservation counts as spent, several times what the answer would have cost.
_FAULTS: tuple[dict[str, Any], ...] = ({"status": 429}, {"status": 500}, {"kind": "invalid_json"}, {"kind": "reset"})
_FAILED_SHARE = 0.3
_FAILED_SHARE_TOLERANCE = 0.05  # by chance, of so many requests
_MIN_REQUESTS = 100
_CAP_SHARE = 0.5
_MIN_USED_SHARE = 0.8
_MAX_ESTIMATE_ERROR = 0.1
_ESTIMATED_TEAM, _CAPPED_TEAM = 1, 2


def run() -> dict[str, Any]:
    """Estimate, run, and run under a cap."""
    with tempfile.TemporaryDirectory(prefix="money-") as folder:
        # The waits between attempts of a trace are cut: they cost time, not money.
        options = StackOptions(Path(folder), persistent=False, workers=8, backoff_scale=0.05, poller=False)
        with Stack(options) as stack:
            info = stack.start()
            for team_id in (_ESTIMATED_TEAM, _CAPPED_TEAM):
                with info.clickhouse() as client:
                    samples = sorted((PROJECT_ROOT / "samples").glob("*.jsonl.gz"))
                    load_events(client, info.clickhouse_events_table, samples, team_id=team_id)
            estimate = _run(info, _ESTIMATED_TEAM, dry_run=True)
            whole, whole_requests = _watched(info, _ESTIMATED_TEAM, max_cost_usd=1_000)
            cap = round(estimate["estimated_cost_usd"] * _CAP_SHARE, 4)
            _model(info, "POST", "/_faults", _faults())
            capped, capped_requests = _watched(info, _CAPPED_TEAM, max_cost_usd=cap)
    counted = sum(entry["input_tokens"] for entry in whole_requests)
    billed = _billed_nano_usd(capped_requests)
    return {
        "traces": estimate["traces_queried"],
        "estimate_input_tokens": estimate["estimated_input_tokens"],
        "server_input_tokens": counted,
        "estimate_error": round(abs(estimate["estimated_input_tokens"] - counted) / counted, 4),
        "estimate_cost_usd": estimate["estimated_cost_usd"],
        "whole_run_cost_usd": whole["cost_usd"],
        "cap_usd": cap,
        "spent_usd_by_ledger": capped["cost_usd"],
        "spent_usd_by_server_log": float(usd(billed)),
        "used_share_by_ledger": round(capped["cost_usd"] / cap, 4),
        "used_share": round(billed / nano_usd(cap), 4),
        "requests": len(capped_requests),
        "failed_request_share": round(sum(bool(e["fault"]) for e in capped_requests) / len(capped_requests), 3),
        "failed_requests": dict(sorted(Counter(entry["fault"] for entry in capped_requests if entry["fault"]).items())),
        "summaries": capped["summaries_generated"],
        "skipped_by_reason": capped["summaries_skipped_by_reason"],
        "seconds": capped["duration_seconds"],
    }


def _faults() -> list[dict[str, Any]]:
    """The script: a later fault is only tried where those before it did not hit."""
    share = _FAILED_SHARE / len(_FAULTS)
    of_chat = {"sent": {"messages": None}}
    return [{**fault, **of_chat, "share": share / (1 - before * share)} for before, fault in enumerate(_FAULTS)]


def _watched(info: StackInfo, team_id: int, **inputs: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A run's metrics, and the server's entries of the chat requests that it made."""
    before = _model(info, "GET", "/_requests")["count"]
    metrics = _run(info, team_id, **inputs)
    entries = _model(info, "GET", "/_requests")["entries"][before:]
    return metrics, [entry for entry in entries if entry["kind"] == "chat"]


def _run(info: StackInfo, team_id: int, **inputs: Any) -> dict[str, Any]:
    """The metrics of a team's run. Raises RuntimeError when it fails."""
    arn = start(info, info.team_machine_arn, {**_INPUTS, "team_id": team_id, **inputs})
    execution = _ended(info, arn)
    if execution.output is None:
        raise RuntimeError(f"the run failed: {execution}")
    metrics: dict[str, Any] = execution.output["metrics"]
    return metrics


def _ended(info: StackInfo, arn: str) -> Execution:
    while (execution := describe(info, arn)).status == "RUNNING":
        time.sleep(0.2)
    return execution


def _billed_nano_usd(requests: Iterable[Mapping[str, Any]]) -> int:
    """What a provider would bill: answers, and those that a reset lost, at the price of the model that was asked."""
    price = PriceList.shipped().price_of(_MODEL)
    if price is None:
        raise RuntimeError(f"{_MODEL} has no price")
    return sum(
        cost_nano_usd(price, ModelUsage(_MODEL, entry["input_tokens"], entry["output_tokens"])) or 0
        for entry in requests
        if entry["status"] in (200, None)
    )


def _model(info: StackInfo, method: str, path: str, body: Any = None) -> Any:
    url = info.model_base_url.removesuffix("/v1") + path
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the stack's own server
        return json.loads(answer.read())


def report(result: dict[str, Any]) -> str:
    """The result as lines."""
    return "\n".join(f"{name:26} {value}" for name, value in result.items())


def passes(result: dict[str, Any]) -> bool:
    """The cap holds and is used up under the failures that were meant, and the estimate is near."""
    return bool(
        result["requests"] >= _MIN_REQUESTS
        and abs(result["failed_request_share"] - _FAILED_SHARE) <= _FAILED_SHARE_TOLERANCE
        and result["spent_usd_by_server_log"] <= result["cap_usd"]
        and result["used_share"] >= _MIN_USED_SHARE
        and result["estimate_error"] <= _MAX_ESTIMATE_ERROR
    )
