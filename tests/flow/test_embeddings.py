"""Embeddings from stored summaries to rows: real broker, event source and functions, in both of Lambda's modes."""

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from bench.embedding_faults import DAY, PROVISIONED, Delivery, faulty_runs, holds
from embedding.requests import encode
from local.event_source import EventSourcePoller
from local.kafka_offsets import end_offsets
from local.load_events import load_events
from local.stack_info import PROJECT_ROOT
from tests.embedding_documents import message
from tests.flow.http_proxy import Fault
from tests.flow.workbench import Workbench
from tests.local_engines.processes import wait_until

MODES = pytest.mark.parametrize("changes", [{}, PROVISIONED], ids=["default", "provisioned"])
DRAIN_SECONDS = 120.0
# The tests' stack waits a fiftieth of what Lambda's event source waits between deliveries: to it, this is minutes.
AWAY_SECONDS = 8.0
_GROUPS = itertools.count(1)


@contextmanager
def event_source(bench: Workbench, changes: dict[str, Any]) -> Iterator[EventSourcePoller]:
    """The stack's event source in a mode, reading what is queued from now on, and the function in the same mode."""
    group = f"test-embeddings-{next(_GROUPS)}"
    skip_to_the_end(bench, group)
    environment = {"PARTIAL_BATCH_RESPONSES": str(bool(changes))}
    with (
        bench.changed_function("embed-documents", environment),
        bench.stack.new_poller(consumer_group=group, **changes) as poller,
    ):
        yield poller


def skip_to_the_end(bench: Workbench, group: str) -> None:
    """Let a consumer group begin behind everything that other tests have queued."""
    servers, topic = bench.info.kafka_bootstrap_servers, bench.info.kafka_topic
    ends = end_offsets(servers, topic)
    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, partition) for partition in ends])
    consumer.commit({TopicPartition(topic, at): OffsetAndMetadata(end, "", -1) for at, end in ends.items()})
    consumer.close()


def delivery_by(bench: Workbench, poller: EventSourcePoller, *team_ids: int) -> Delivery:
    assert bench.stack.runtime is not None
    return Delivery(bench.info, bench.stack.runtime, poller, team_ids)


def requests_of(bench: Workbench, team_id: int, count: int, start: int = 0) -> list[dict[str, Any]]:
    """Messages of one document each."""
    models = list(bench.info.embedding_models)
    return [
        message(f"trace-{number}", f"The customer asks for order {number}.", team_id=team_id, models=models)
        for number in range(start, start + count)
    ]


def produce(bench: Workbench, values: Sequence[bytes | None]) -> None:
    producer = KafkaProducer(bootstrap_servers=bench.info.kafka_bootstrap_servers, max_request_size=8_000_000)
    for sent in [producer.send(bench.info.kafka_topic, key=b"any", value=value) for value in values]:
        sent.get(timeout=30)
    producer.close()


@contextmanager
def kept_meanwhile(bench: Workbench) -> Iterator[list[str]]:
    """Afterwards the list holds why each record that came into the failure bucket is there, by us or by Lambda."""
    s3, bucket = bench.info.aws("s3"), bench.info.failure_bucket

    def keys() -> set[str]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {found["Key"] for page in pages for found in page.get("Contents", [])}

    before = keys()
    reasons: list[str] = []
    yield reasons
    for key in sorted(keys() - before):
        document = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        reasons.append(document.get("reason") or document["requestContext"]["condition"])


def test_a_day_of_recorded_traces_ends_in_one_row_each_and_so_it_stays_under_faults(bench: Workbench) -> None:
    team = bench.new_team()
    with bench.info.clickhouse() as client:
        load_events(
            client,
            bench.info.clickhouse_events_table,
            sorted((PROJECT_ROOT / "samples").glob("*.jsonl.gz")),
            team_id=team,
        )
    with event_source(bench, {}) as poller:
        metrics = bench.metrics_of(team, **DAY, max_traces=1_000, batch_size=16)
        poller.wait_until_drained(DRAIN_SECONDS)
        delivery = delivery_by(bench, poller, team)
        wanted = delivery.requests()
        assert len(wanted) == metrics["summaries_generated"] >= 300
        assert not any(delivery.problems(wanted).values())
        result = faulty_runs(delivery, range(2), kills_per_run=2)
    assert holds(result), result
    assert result["paid_beyond"] == 0, result
    assert result["kills"] >= 2
    assert result["failed_invocations"] >= 2


def test_a_vector_that_is_another_text_s_is_found(bench: Workbench) -> None:
    team = bench.new_team()
    wanted = requests_of(bench, team, 3)
    with event_source(bench, {}) as poller:
        produce(bench, list(map(encode, wanted)))
        poller.wait_until_drained(DRAIN_SECONDS)
        delivery = delivery_by(bench, poller, team)
        assert not any(delivery.problems(wanted).values())
        bench.client.command(
            "ALTER TABLE trace_summarization.document_embeddings UPDATE embedding = arrayReverse(embedding)"
            " WHERE team_id = {team_id:Int64} AND document_id = 'trace-1' SETTINGS mutations_sync = 1",
            parameters={"team_id": team},
        )
        problems = delivery.problems(wanted)
    assert {name: count for name, count in problems.items() if count} == {"of_another_text": 1}


@MODES
def test_broken_messages_hold_nobody_up_and_end_in_the_bucket(bench: Workbench, changes: dict[str, Any]) -> None:
    team = bench.new_team()
    good = requests_of(bench, team, 6)
    first, *_ = requests_of(bench, team, 1, start=100)
    broken: list[bytes | None] = [
        b"x" * 5_000_000,  # more than an invocation takes: in the default mode nothing keeps it
        b"x" * 1_100_000,
        b"no JSON",
        None,
        encode({**first, "version": 2}),
        encode({**first, "content": ""}),
        encode({name: value for name, value in first.items() if name != "team_id"}),
    ]
    with kept_meanwhile(bench) as reasons, event_source(bench, changes) as poller:
        mixed = itertools.zip_longest(broken, map(encode, good), fillvalue=b"neither")
        produce(bench, [value for pair in mixed for value in pair])
        poller.wait_until_drained(DRAIN_SECONDS)
        assert not any(delivery_by(bench, poller, team).problems(good).values())
        assert poller.counts.records_discarded == 1
    too_large = [reason for reason in reasons if reason == "MaximumPayloadSizeExceeded"]
    assert len(too_large) == bool(changes)
    assert len(reasons) - len(too_large) == len(broken)
    for told in ("has 1100000 bytes", "is not JSON", "value: is missing"):
        assert any(told in reason for reason in reasons), told
    for told in ("version: should be 1", "content: ", "team_id: is missing"):
        assert any(told in reason for reason in reasons), told


@MODES
@pytest.mark.parametrize("kind", ["wrong_dimensions", "nan"])
def test_a_text_without_a_vector_ends_in_the_bucket_alone(bench: Workbench, changes: dict[str, Any], kind: str) -> None:
    team = bench.new_team()
    good = requests_of(bench, team, 20)
    poison = message("poison", f"poison of {team}", team_id=team, models=list(bench.info.embedding_models))
    with (
        kept_meanwhile(bench) as reasons,
        bench.model_faults({"match": poison["content"], "kind": kind}),
        event_source(bench, changes) as poller,
    ):
        produce(bench, list(map(encode, [*good[:10], poison, *good[10:]])))
        poller.wait_until_drained(DRAIN_SECONDS)
        assert not any(delivery_by(bench, poller, team).problems(good).values())
    (reason,) = reasons
    assert "a vector that cannot be used" in reason


@MODES
def test_while_broker_and_clickhouse_are_away_requests_wait_and_none_is_lost(
    bench: Workbench, changes: dict[str, Any]
) -> None:
    team = bench.new_team()
    wanted = requests_of(bench, team, 60)
    with kept_meanwhile(bench) as reasons, event_source(bench, changes) as poller:
        produce(bench, list(map(encode, wanted[:20])))
        poller.wait_until_drained(DRAIN_SECONDS)
        failed = poller.counts.function_errors + poller.counts.partial_failures
        with bench.proxy.fault(Fault(lambda _: True, reset=True)):
            produce(bench, list(map(encode, wanted[20:40])))
            time.sleep(AWAY_SECONDS)
            assert poller.counts.function_errors + poller.counts.partial_failures > failed
        poller.wait_until_drained(DRAIN_SECONDS)
        with bench.stack.kafka.hanging():
            time.sleep(AWAY_SECONDS)
        produce(bench, list(map(encode, wanted[40:])))
        poller.wait_until_drained(DRAIN_SECONDS)
        assert not any(delivery_by(bench, poller, team).problems(wanted).values())
    assert reasons == []


@MODES
@pytest.mark.parametrize("statement", ["SELECT", "INSERT INTO"])
def test_an_invocation_that_ends_while_clickhouse_hangs_is_delivered_again_and_no_row_is_doubled(
    bench: Workbench, changes: dict[str, Any], statement: str
) -> None:
    team = bench.new_team()
    wanted = requests_of(bench, team, 10)
    hangs = Fault(lambda request: "document_embeddings" in request and statement in request, times=2, stall_seconds=6)
    with kept_meanwhile(bench) as reasons, event_source(bench, changes) as poller:
        delivery = delivery_by(bench, poller, team)
        with bench.proxy.fault(hangs):
            produce(bench, list(map(encode, wanted)))
            # Lambda ends it at its time limit, which the function keeps clear of as long as it can: here it is killed.
            for killed in range(2):
                assert wait_until(partial(lambda before: hangs.taken > before, killed), 30)
                assert delivery.runtime.kill_workers(bench.info.embed_function) == 1
            poller.wait_until_drained(DRAIN_SECONDS)
        assert poller.counts.function_errors == 2
        time.sleep(
            hangs.stall_seconds
        )  # what hung is written now, after the rows of the invocation that took its place
        assert not any(delivery.problems(wanted).values())
    assert reasons == []


def test_a_provisioned_event_source_gives_up_in_the_end_and_keeps_what_it_gave_up(bench: Workbench) -> None:
    team = bench.new_team()
    wanted = requests_of(bench, team, 4)
    changes = {**PROVISIONED, "maximum_retry_attempts": 2}
    with kept_meanwhile(bench) as reasons, event_source(bench, changes) as poller:
        with bench.proxy.fault(Fault(lambda _: True, reset=True)):
            produce(bench, list(map(encode, wanted)))
            poller.wait_until_drained(DRAIN_SECONDS)
        assert delivery_by(bench, poller, team).problems(wanted)["missing"] == len(wanted)
        assert poller.counts.records_discarded == len(wanted)
    assert set(reasons) == {"RetryAttemptsExhausted"}
