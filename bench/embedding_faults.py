"""`embedding_faults`: the queue of embedding requests under faults, from real summaries to rows.

The recorded samples are summarized through the state machines; then, in each run, all rows are taken away and every
request is delivered anew: twice, in random order, with an older version of each document among them, which must not
win. Meanwhile a third of the calls of the model fail, and the function is killed (SIGKILL) at random moments. In the
end each stored summary must have exactly one row, of its own content.
"""

import json
import random
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from kafka import KafkaProducer

from adapters.clickhouse_properties import parse_properties
from embedding.requests import content_hash, embedding_request, encode, message_key
from local.event_source import EventSourcePoller
from local.executions import describe, start
from local.lambda_runtime import LambdaRuntime
from local.load_events import load_events
from local.stack import Stack
from local.stack_info import PROJECT_ROOT, StackInfo
from local.stack_options import StackOptions
from trace_summarization.constants import EVENT_NAME_TRACE_SUMMARY
from trace_summarization.timestamps import format_microseconds, parse_rfc3339

_RUNS = 20
_MIN_SUMMARIES = 300
DAY = {"window_start": "2025-01-15T00:00:00Z", "window_end": "2025-01-16T00:00:00Z"}
_DRAIN_SECONDS = 240.0
_KILLS_PER_RUN = 4
_FAILED_SHARE = 1 / 3
_FAILED_SHARE_TOLERANCE = 0.08  # by chance, of so many requests
# In equal parts; the last two are answered (or were), and what they brought is asked for again.
_FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 429, "headers": {"Retry-After": "0"}},
    {"status": 500},
    {"status": 503},
    {"kind": "reset"},
    {"kind": "missing_one"},
)


@dataclass(frozen=True)
class Delivery:
    """What one run delivers, and what has to be there afterwards."""

    info: StackInfo
    runtime: LambdaRuntime
    poller: EventSourcePoller
    team_ids: Sequence[int]

    @classmethod
    def of(cls, stack: Stack, info: StackInfo, team_ids: Sequence[int]) -> Self:
        """The delivery by a stack's own poller. Raises RuntimeError when it has none."""
        if stack.runtime is None or stack.poller is None:
            raise RuntimeError("the stack reads no queue")
        return cls(info, stack.runtime, stack.poller, team_ids)

    def requests(self) -> list[dict[str, Any]]:
        """The embedding request of each stored summary, built from its event."""
        with self.info.clickhouse() as client:
            rows = client.query(
                f"SELECT team_id, timestamp, properties FROM {self.info.clickhouse_events_table} FINAL"
                " WHERE team_id IN {team_ids:Array(Int64)} AND event = {event:String}",
                parameters={"team_ids": list(self.team_ids), "event": EVENT_NAME_TRACE_SUMMARY},
                column_formats={"properties": "bytes"},
            ).result_rows
        models = self.info.embedding_models
        return [embedding_request(team, moment, parse_properties(stored), models) for team, moment, stored in rows]

    def take_rows_away(self) -> None:
        """Delete all rows of the teams."""
        with self.info.clickhouse() as client:
            client.command(
                f"ALTER TABLE {self.info.clickhouse_database}.document_embeddings"
                " DELETE WHERE team_id IN {team_ids:Array(Int64)} SETTINGS mutations_sync = 1",
                parameters={"team_ids": list(self.team_ids)},
            )

    def send(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Put messages on the topic, in their order."""
        producer = KafkaProducer(bootstrap_servers=self.info.kafka_bootstrap_servers, linger_ms=20)
        futures = [
            producer.send(self.info.kafka_topic, key=message_key(message).encode(), value=encode(message))
            for message in messages
        ]
        for future in futures:
            future.get(timeout=30)
        producer.close()

    def problems(self, wanted: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """How many documents have no row, more than one, or one of another content; and rows that nobody asked for."""
        with self.info.clickhouse() as client:
            rows = client.query(
                "SELECT team_id, document_id, rendering, model_name, content_hash, length(embedding)"
                f" FROM {self.info.clickhouse_database}.document_embeddings FINAL"
                " WHERE team_id IN {team_ids:Array(Int64)}",
                parameters={"team_ids": list(self.team_ids)},
            ).result_rows
        stored: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
        for row in rows:
            stored.setdefault(tuple(row[:4]), []).append(tuple(row[4:]))
        expected = {
            (message["team_id"], message["document_id"], message["rendering"], model): message["content_hash"]
            for message in wanted
            for model in message["models"]
        }
        found = {key: stored.get(key, []) for key in expected}
        return {
            "missing": sum(not versions for versions in found.values()),
            "doubled": sum(len(versions) > 1 for versions in found.values()),
            "of_other_content": sum(
                any(version[0] != expected[key] for version in versions) for key, versions in found.items()
            ),
            "of_wrong_size": sum(
                version[1] != int(key[3].rpartition("-")[2]) for key, versions in found.items() for version in versions
            ),
            "unasked": len(stored.keys() - expected.keys()),
        }

    def broken_records(self) -> int:
        """Objects in the failure place."""
        pages = self.info.aws("s3").get_paginator("list_objects_v2").paginate(Bucket=self.info.failure_bucket)
        return sum(page.get("KeyCount", 0) for page in pages)

    def model(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the model server for its log, or tell it what to do wrong."""
        url = self.info.model_base_url.removesuffix("/v1") + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the stack's own server
            return json.loads(answer.read())


def run() -> dict[str, Any]:
    """Summarize the samples, then deliver their requests under faults, 20 times."""
    with tempfile.TemporaryDirectory(prefix="embedding-faults-") as folder:
        options = StackOptions(Path(folder), persistent=False, workers=8, backoff_scale=0.05)
        with Stack(options) as stack:
            info = stack.start()
            with info.clickhouse() as client:
                samples = sorted((PROJECT_ROOT / "samples").glob("*.jsonl.gz"))
                teams = load_events(client, info.clickhouse_events_table, samples).teams
            for team_id in teams:
                _summarize(info, team_id)
            delivery = Delivery.of(stack, info, teams)
            first = _first_delivery(delivery)
            return {"first_delivery": first, **faulty_runs(delivery, _RUNS)}


def _summarize(info: StackInfo, team_id: int) -> None:
    arn = start(info, info.team_machine_arn, {**DAY, "team_id": team_id, "max_traces": 1_000, "batch_size": 16})
    while (execution := describe(info, arn)).status == "RUNNING":
        time.sleep(0.2)
    if execution.output is None:
        raise RuntimeError(f"the run failed: {execution}")


def _first_delivery(delivery: Delivery) -> dict[str, Any]:
    """What the run of the state machines itself has brought about, without faults."""
    delivery.poller.wait_until_drained(_DRAIN_SECONDS)
    wanted = delivery.requests()
    return {"summaries": len(wanted), **delivery.problems(wanted), "broken_records": delivery.broken_records()}


def faulty_runs(delivery: Delivery, runs: int, kills_per_run: int = _KILLS_PER_RUN) -> dict[str, Any]:
    """Deliver all requests under faults, `runs` times; return what was wrong afterwards, and what went on."""
    wanted = delivery.requests()
    totals: Counter[str] = Counter()
    broken_before = delivery.broken_records()
    for number in range(runs):
        totals.update(_faulty_run(delivery, wanted, random.Random(number), kills_per_run))
    calls = totals["model_requests"]
    return {
        "runs": runs,
        "summaries": len(wanted),
        **{name: totals[name] for name in ("messages", "kills", "invocations", "failed_invocations")},
        "model_requests": calls,
        "failed_model_requests": round(totals["failed_model_requests"] / calls, 3) if calls else None,
        "paid_again": totals["paid_again"],
        **{name: totals[name] for name in ("missing", "doubled", "of_other_content", "of_wrong_size", "unasked")},
        "broken_records": delivery.broken_records() - broken_before,
        "seconds": round(totals["milliseconds"] / 1_000, 1),
    }


def _faulty_run(
    delivery: Delivery, wanted: Sequence[Mapping[str, Any]], chance: random.Random, kills: int
) -> dict[str, int]:
    poller = delivery.poller
    delivery.take_rows_away()
    messages = [*wanted, *wanted, *map(_older, wanted)]
    chance.shuffle(messages)
    requests_before = delivery.model("GET", "/_requests")["count"]
    counts_before = poller.counts
    began = time.monotonic()
    ended = threading.Event()
    killed: list[int] = []

    def kill_at_random() -> None:
        while len(killed) < kills and not ended.wait(chance.uniform(0.02, 0.6)):
            if delivery.runtime.kill_workers(delivery.info.embed_function):
                killed.append(1)

    delivery.model("POST", "/_faults", _faults())
    killer = threading.Thread(target=kill_at_random, name="killer")
    killer.start()
    try:
        delivery.send(messages)
        delivery.poller.wait_until_drained(_DRAIN_SECONDS)
    finally:
        ended.set()
        killer.join()
        delivery.model("DELETE", "/_faults")
    counts = poller.counts
    log = delivery.model("GET", "/_requests")["entries"][requests_before:]
    paid = Counter(text for entry in log if entry["status"] == 200 for text in entry["input_sha256"])
    return {
        "messages": len(messages),
        "kills": len(killed),
        "invocations": counts.invocations - counts_before.invocations,
        "failed_invocations": counts.function_errors - counts_before.function_errors,
        "model_requests": len(log),
        "failed_model_requests": sum(bool(entry["fault"]) for entry in log),
        "paid_again": sum(times - 1 for times in paid.values()),
        "milliseconds": int(1_000 * (time.monotonic() - began)),
        **delivery.problems(wanted),
    }


def _older(message: Mapping[str, Any]) -> dict[str, Any]:
    """The request of an earlier version of the same document."""
    content = f"{message['content']}\nAs it was an hour before."
    earlier = parse_rfc3339(message["summarized_at"]) - timedelta(hours=1)
    changed = {"content": content, "content_hash": content_hash(content), "summarized_at": format_microseconds(earlier)}
    return {**message, **changed}


def _faults() -> list[dict[str, Any]]:
    """The script, for embeddings alone: a later fault is only tried where those before it did not hit."""
    share = _FAILED_SHARE / len(_FAULTS)
    return [
        {**fault, "sent": {"input": None}, "share": share / (1 - before * share)}
        for before, fault in enumerate(_FAULTS)
    ]


def report(result: dict[str, Any]) -> str:
    """The result as lines."""
    first = ", ".join(f"{name} {value}" for name, value in result["first_delivery"].items())
    lines = [f"{name:24} {value}" for name, value in result.items() if name != "first_delivery"]
    return "\n".join([f"{'first delivery':24} {first}", *lines])


def passes(result: dict[str, Any]) -> bool:
    """Every summary has its one row, under the faults that were meant; an answer is only lost to a kill."""
    first = result["first_delivery"]
    return bool(
        first["summaries"] >= _MIN_SUMMARIES
        and not any(value for name, value in first.items() if name != "summaries")
        and holds(result)
        and result["kills"] >= result["runs"]
        and abs(result["failed_model_requests"] - _FAILED_SHARE) <= _FAILED_SHARE_TOLERANCE
    )


def holds(result: Mapping[str, Any]) -> bool:
    """Whether nothing was lost, doubled, or replaced by what is older."""
    return not any(
        result[name]
        for name in ("missing", "doubled", "of_other_content", "of_wrong_size", "unasked", "broken_records")
    )
