"""`embedding_faults`: the queue of embedding requests under faults, from real summaries to rows.

The recorded samples are summarized through the state machines; then, in each run, all rows are taken away and every
request is delivered anew: twice, in random order, with an older version of each document among them, which must not
win. Meanwhile a third of the calls of the model fail, and the function is killed (SIGKILL) at random moments. In the
end each stored summary must have exactly one row, of its own content and with that content's vector. Then ClickHouse
and the broker are away, each for a minute. One half of the runs, and of the minutes, in each mode of Lambda's event
source.

What is paid for again is bounded, in each run by the model server's own log: an answer that breaks off or lacks a
vector costs its texts once more, a kill at most the texts of one request, since what a request brought is stored before
the next one is made.
"""

import contextlib
import functools
import json
import random
import socket
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from adapters.clickhouse_properties import parse_properties
from embedding.models import EmbeddingModelName
from embedding.requests import content_hash, embedding_request, encode, message_key
from local.embeddings import EMBEDDING_MODEL_NAME, EmbeddingRequest, Vectors
from local.event_source import EventSourcePoller
from local.executions import describe, start
from local.lambda_runtime import LambdaRuntime
from local.load_events import load_events
from local.stack import Stack
from local.stack_info import PROJECT_ROOT, StackInfo
from local.stack_options import StackOptions
from trace_summarization.constants import EVENT_NAME_TRACE_SUMMARY
from trace_summarization.timestamps import format_microseconds, parse_rfc3339

PROVISIONED: dict[str, Any] = {
    "provisioned": True,
    "partial_batch_responses": True,
    "bisect_batch_on_function_error": True,
    "maximum_retry_attempts": 1_000,
}
_RUNS = 20
_MIN_SUMMARIES = 300
DAY = {"window_start": "2025-01-15T00:00:00Z", "window_end": "2025-01-16T00:00:00Z"}
_DRAIN_SECONDS = 240.0
_KILLS_PER_RUN = 4
_BATCH_SIZE = 50  # a tenth of what is deployed: ten times as many requests that can fail, and moments to be killed in
_AWAY_SECONDS = 60.0
_PROBLEMS = ("missing", "doubled", "of_other_content", "of_wrong_size", "of_another_text", "unasked")
_SAME_VECTOR = 0.999  # cosine, at least
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
    def of(cls, stack: Stack, info: StackInfo, poller: EventSourcePoller | None, team_ids: Sequence[int]) -> Self:
        """The delivery by a poller of the stack. Raises RuntimeError when nothing reads or runs."""
        if stack.runtime is None or poller is None:
            raise RuntimeError("the stack reads no queue")
        return cls(info, stack.runtime, poller, team_ids)

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

    def configure_function(self, **variables: str) -> None:
        """Have the function run in new processes, with these environment variables besides its own."""
        (function,) = (each for each in self.runtime.functions if each.name == self.info.embed_function)
        self.runtime.update(replace(function, environment={**function.environment, **variables}))

    @contextlib.contextmanager
    def clickhouse_away(self) -> Iterator[None]:
        """For a while let the function find nobody where ClickHouse's secret says that it is."""
        (function,) = (each for each in self.runtime.functions if each.name == self.info.embed_function)
        secret, client = function.environment["CLICKHOUSE_SECRET_ARN"], self.info.aws("secretsmanager")
        value = client.get_secret_value(SecretId=secret)["SecretString"]
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # taken, but nobody listens
            closed = {**json.loads(value), "port": nobody.getsockname()[1]}
            client.put_secret_value(SecretId=secret, SecretString=json.dumps(closed))
            self.configure_function()
            try:
                yield
            finally:
                client.put_secret_value(SecretId=secret, SecretString=value)
                self.configure_function()

    def send(self, messages: Sequence[Mapping[str, Any]], timeout_seconds: float = 30.0) -> None:
        """Put messages on the topic, in their order. Raises KafkaError when the broker does not confirm them."""
        producer = KafkaProducer(
            bootstrap_servers=self.info.kafka_bootstrap_servers,
            linger_ms=20,
            api_version=(2, 6),  # else it is asked for first, without a limit of time
            max_block_ms=int(1_000 * timeout_seconds),
            request_timeout_ms=int(500 * timeout_seconds),  # the protocol holds an integer
            delivery_timeout_ms=int(1_000 * timeout_seconds),
        )
        try:
            futures = [
                producer.send(self.info.kafka_topic, key=message_key(message).encode(), value=encode(message))
                for message in messages
            ]
            for future in futures:
                future.get(timeout=timeout_seconds)
        finally:
            with contextlib.suppress(KafkaTimeoutError):  # of what a broker that hangs has not confirmed
                producer.close(timeout=1)

    def problems(self, wanted: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """How many documents have no row, more than one, or one of another content; and rows that nobody asked for.

        `of_another_text`: rows whose vector is not that of the wanted content, embedded here once more.
        """
        with self.info.clickhouse() as client:
            rows = client.query(
                "SELECT team_id, document_id, rendering, model_name, content_hash, embedding"
                f" FROM {self.info.clickhouse_database}.document_embeddings FINAL"
                " WHERE team_id IN {team_ids:Array(Int64)}",
                parameters={"team_ids": list(self.team_ids)},
            ).result_rows
        stored: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
        for row in rows:
            stored.setdefault(tuple(row[:4]), []).append(tuple(row[4:]))
        expected = {
            (message["team_id"], message["document_id"], message["rendering"], model): message
            for message in wanted
            for model in message["models"]
        }
        found = {key: stored.get(key, []) for key in expected}
        return {
            "missing": sum(not versions for versions in found.values()),
            "doubled": sum(len(versions) > 1 for versions in found.values()),
            "of_other_content": sum(
                any(version[0] != expected[key]["content_hash"] for version in versions)
                for key, versions in found.items()
            ),
            "of_wrong_size": sum(
                len(version[1]) != int(key[3].rpartition("-")[2])
                for key, versions in found.items()
                for version in versions
            ),
            "of_another_text": sum(
                not _is_vector_of(expected[key]["content"], key[3], version[1])
                for key, versions in found.items()
                for version in versions
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
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the stack's own server
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the stack's own server
            return json.loads(answer.read())


def run() -> dict[str, Any]:
    """Summarize the samples, then deliver their requests under faults, in both modes."""
    with tempfile.TemporaryDirectory(prefix="embedding-faults-") as folder:
        options = StackOptions(Path(folder), persistent=False, workers=8, backoff_scale=0.05, poller=False)
        with Stack(options) as stack:
            info = stack.start()
            with info.clickhouse() as client:
                samples = sorted((PROJECT_ROOT / "samples").glob("*.jsonl.gz"))
                teams = load_events(client, info.clickhouse_events_table, samples).teams
            for team_id in teams:
                _summarize(info, team_id)
            modes = {
                mode: _mode(stack, info, teams, first_run, changes)
                for mode, first_run, changes in (("default", 0, {}), ("provisioned", _RUNS // 2, PROVISIONED))
            }
            return {"modes": modes}


def _mode(
    stack: Stack, info: StackInfo, teams: Sequence[int], first_run: int, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything in one mode, by an event source that reads the topic from its beginning."""
    with stack.new_poller(consumer_group=f"faults-{first_run}", batch_size=_BATCH_SIZE, **changes) as poller:
        delivery = Delivery.of(stack, info, poller, teams)
        delivery.configure_function(PARTIAL_BATCH_RESPONSES=str(bool(changes)))
        delivery.take_rows_away()
        return {
            "without_faults": _without_faults(delivery),
            "with_faults": faulty_runs(delivery, range(first_run, first_run + _RUNS // 2)),
            "clickhouse_away": _while_away(delivery, delivery.clickhouse_away()),
            "broker_away": _while_away(delivery, stack.kafka.hanging()),
        }


def _summarize(info: StackInfo, team_id: int) -> None:
    arn = start(info, info.team_machine_arn, {**DAY, "team_id": team_id, "max_traces": 1_000, "batch_size": 16})
    while (execution := describe(info, arn)).status == "RUNNING":
        time.sleep(0.2)
    if execution.output is None:
        raise RuntimeError(f"the run failed: {execution}")


def _without_faults(delivery: Delivery) -> dict[str, Any]:
    """What comes of the requests that the runs of the state machines have queued."""
    delivery.poller.wait_until_drained(_DRAIN_SECONDS)
    return _outcome(delivery, delivery.requests(), 0)


def _while_away(delivery: Delivery, away: AbstractContextManager[None]) -> dict[str, Any]:
    """What comes of requests that are delivered before, during and after a minute without a service."""
    wanted = delivery.requests()
    broken_before = delivery.broken_records()
    delivery.take_rows_away()
    third = len(wanted) // 3
    delivery.send(wanted[:third])
    with away:
        began = time.monotonic()
        # A broker that hangs takes nothing: who produces learns it, and `backfill` queues it again.
        with contextlib.suppress(KafkaError):
            delivery.send(wanted[third : 2 * third], timeout_seconds=_AWAY_SECONDS / 2)
        time.sleep(max(0.0, _AWAY_SECONDS - (time.monotonic() - began)))
    delivery.send(wanted[third:])
    delivery.poller.wait_until_drained(_DRAIN_SECONDS)
    return _outcome(delivery, wanted, broken_before)


def _outcome(delivery: Delivery, wanted: Sequence[Mapping[str, Any]], broken_before: int) -> dict[str, Any]:
    broken = delivery.broken_records() - broken_before
    return {"summaries": len(wanted), **delivery.problems(wanted), "broken_records": broken}


def faulty_runs(delivery: Delivery, seeds: Sequence[int], kills_per_run: int = _KILLS_PER_RUN) -> dict[str, Any]:
    """Deliver all requests under faults, once per seed; return what was wrong afterwards, and what went on."""
    wanted = delivery.requests()
    totals: Counter[str] = Counter()
    broken_before = delivery.broken_records()
    for seed in seeds:
        totals.update(_faulty_run(delivery, wanted, random.Random(seed), kills_per_run))
    calls = totals["model_requests"]
    return {
        "runs": len(seeds),
        "summaries": len(wanted),
        **{name: totals[name] for name in ("messages", "kills", "invocations", "failed_invocations")},
        "model_requests": calls,
        "failed_model_requests": round(totals["failed_model_requests"] / calls, 3) if calls else None,
        **{name: totals[name] for name in ("paid_again", "paid_again_at_most", "paid_beyond")},
        **{name: totals[name] for name in _PROBLEMS},
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
    again, at_most = paid_again(log, len(killed))
    return {
        "messages": len(messages),
        "kills": len(killed),
        "invocations": counts.invocations - counts_before.invocations,
        "failed_invocations": counts.function_errors - counts_before.function_errors,
        "model_requests": len(log),
        "failed_model_requests": sum(bool(entry["fault"]) for entry in log),
        "paid_again": again,
        "paid_again_at_most": at_most,
        "paid_beyond": max(0, again - at_most),
        "milliseconds": int(1_000 * (time.monotonic() - began)),
        **delivery.problems(wanted),
    }


def paid_again(log: Sequence[Mapping[str, Any]], kills: int) -> tuple[int, int]:
    """Texts that were paid for more than once, by the model server's log of a run, and how many that may be.

    An answer that was disturbed or lost is paid for all the same, and asked for again with all its texts; a kill loses
    what one request brought, at most the largest one's.
    """
    answered = [entry for entry in log if entry["status"] in (200, None)]
    paid = Counter(text for entry in answered for text in entry["input_sha256"])
    sizes = [len(entry["input_sha256"]) for entry in answered]
    disturbed = sum(size for entry, size in zip(answered, sizes, strict=True) if entry["fault"])
    return sum(times - 1 for times in paid.values()), disturbed + kills * max(sizes, default=0)


@functools.lru_cache(maxsize=10_000)
def _vector_of(text: str, model_name: str) -> Vectors:
    """What the offline model server answers for a text: a vector of length 1."""
    model = EmbeddingModelName.parse(model_name)
    hashed = {} if model.model == EMBEDDING_MODEL_NAME else {model.model: model.dimensions}
    body = {"model": model.model, "input": [text], "dimensions": model.dimensions}
    vectors = EmbeddingRequest(body, hashed).vectors(hashed)
    return vectors.reshape(-1)


def _is_vector_of(text: str, model_name: str, stored: Sequence[float]) -> bool:
    wanted, vector = _vector_of(text, model_name), np.asarray(stored, np.float32)
    return vector.shape == wanted.shape and bool(vector @ wanted >= _SAME_VECTOR * np.linalg.norm(vector) > 0)


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
    return "\n".join(
        f"{mode:12} {part:16} " + ", ".join(f"{name} {value}" for name, value in figures.items())
        for mode, parts in result["modes"].items()
        for part, figures in parts.items()
    )


def passes(result: dict[str, Any]) -> bool:
    """Every summary has its one row, under the faults that were meant, and no more was paid than they explain."""
    parts = [figures for of_mode in result["modes"].values() for figures in of_mode.values()]
    under_faults = [of_mode["with_faults"] for of_mode in result["modes"].values()]
    return bool(
        all(figures["summaries"] >= _MIN_SUMMARIES and holds(figures) for figures in parts)
        and not any(figures["paid_beyond"] for figures in under_faults)
        and sum(figures["runs"] for figures in under_faults) == _RUNS
        and all(figures["kills"] >= figures["runs"] for figures in under_faults)
        and all(
            abs(figures["failed_model_requests"] - _FAILED_SHARE) <= _FAILED_SHARE_TOLERANCE for figures in under_faults
        )
    )


def holds(figures: Mapping[str, Any]) -> bool:
    """Whether nothing was lost, doubled, or replaced by what is older."""
    return not any(figures[name] for name in (*_PROBLEMS, "broken_records"))
