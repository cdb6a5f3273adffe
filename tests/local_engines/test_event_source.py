"""The local event source delivers a topic to a function as Lambda does, in both of its modes, whatever else breaks."""

from __future__ import annotations

import base64
import json
import logging
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from local.aws import LocalAws
from local.event_source import EventSourcePoller, NotDrainedError
from local.event_source_mapping import EventSourceMapping
from local.kafka_broker import KafkaBroker
from local.kafka_offsets import end_offsets
from local.lambda_function import FunctionSpec
from local.lambda_runtime import MAX_PAYLOAD_BYTES, LambdaRuntime
from tests.local_engines.processes import wait_until

TOPIC = "documents"
BUCKET = "failures"
SCALE = 0.02
PROVISIONED = {
    "provisioned": True,
    "partial_batch_responses": True,
    "bisect_batch_on_function_error": True,
    "maximum_retry_attempts": 2,
    "destination_bucket": BUCKET,
}

# A stand-in for the function: it writes each event that it gets to a file, then does what `behaviour.json` says.
HANDLER = """
import base64, json, os, time
from pathlib import Path

FOLDER = Path(os.environ["FOLDER"])

def handler(event, context):
    records = [record for records in event["records"].values() for record in records]
    values = [base64.b64decode(record["value"]).decode() for record in records]
    with (FOLDER / "events.jsonl").open("a") as log:
        log.write(json.dumps(event) + chr(10))
    behaviour = json.loads((FOLDER / "behaviour.json").read_text())
    time.sleep(behaviour.get("seconds", 0))
    if "answer" in behaviour:
        return behaviour["answer"]
    poison = behaviour.get("poison", [])
    if behaviour.get("fails") or (not behaviour.get("partial") and any(value in poison for value in values)):
        raise RuntimeError("cannot take it")
    failed = [record for record, value in zip(records, values) if value in poison]
    with (FOLDER / "taken.txt").open("a") as taken:
        taken.write("".join(value[:40] + chr(10) for value in values if value not in poison))
    return {"batchItemFailures": [
        {"itemIdentifier": {"partition": f"{record['topic']}-{record['partition']}", "offset": record["offset"]}}
        for record in failed
    ]}
"""


@dataclass
class Queue:
    """A broker, a function that takes records, and a bucket; pollers are started on them."""

    broker: KafkaBroker
    aws: LocalAws
    runtime: LambdaRuntime
    folder: Path
    function: FunctionSpec
    group: str = field(default_factory=lambda: f"group-{time.monotonic_ns()}")

    def produce(self, *values: str | bytes, **more: Any) -> None:
        """Send records, each with a key, and return when the broker has them."""
        producer = KafkaProducer(bootstrap_servers=self.broker.bootstrap_servers, max_request_size=20_000_000)
        try:
            for value in values:
                content = value.encode() if isinstance(value, str) else value
                producer.send(TOPIC, content, key=b"key", **more).get(timeout=20)
        finally:
            producer.close()

    def behave(self, **behaviour: Any) -> None:
        """Have the function behave like this from now on."""
        partial = self.folder / "behaviour.partial"
        partial.write_text(json.dumps(behaviour))
        partial.replace(self.folder / "behaviour.json")

    @contextmanager
    def poller(self, **mapping: Any) -> Iterator[EventSourcePoller]:
        """A running poller of this queue; `mapping` changes its event source mapping."""
        arguments: dict[str, Any] = {
            "id": "11111111-2222-3333-4444-555555555555",
            "function_arn": self.function.arn,
            "topic": TOPIC,
            "consumer_group": self.group,
            **mapping,
        }
        poller = EventSourcePoller(
            EventSourceMapping(**arguments), self.broker, self.runtime, self.aws.client("s3"), SCALE
        )
        with poller:
            yield poller
        poller.join()

    def events(self) -> list[dict[str, Any]]:
        """Every event that the function got, in order."""
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def delivered(self) -> list[list[str]]:
        """Of every event: the values of its records."""
        return [values_of(event) for event in self.events()]

    def taken(self) -> list[str]:
        """Values that the function took, in order."""
        path = self.folder / "taken.txt"
        return path.read_text().splitlines() if path.exists() else []

    def discarded(self) -> list[dict[str, Any]]:
        """Documents of the bucket, in order of their offsets."""
        client = self.aws.client("s3")
        keys = [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        documents = [json.loads(client.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in keys]
        return sorted(documents, key=lambda document: int(next(iter(infos(document).values()))["firstRecordOffset"]))


def values_of(event: Mapping[str, Any]) -> list[str]:
    return [base64.b64decode(record["value"]).decode() for records in event["records"].values() for record in records]


def infos(document: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    info: Mapping[str, Mapping[str, str]] = document["KafkaBatchInfo"]["recordsInfo"]
    return info


def numbered(count: int) -> list[str]:
    return [f"record {number}" for number in range(count)]


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as running:
        yield running


@pytest.fixture
def queue(aws: LocalAws, lambda_python: Path, tmp_path: Path) -> Iterator[Queue]:
    (tmp_path / "task_root").mkdir()
    (tmp_path / "task_root" / "app.py").write_text(textwrap.dedent(HANDLER))
    function = FunctionSpec(
        "embed", "app.handler", tmp_path / "task_root", 10, 128, environment={"FOLDER": str(tmp_path)}
    )
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    with (
        KafkaBroker(topics=[TOPIC]) as broker,
        LambdaRuntime([function], lambda_python, tmp_path / "logs", workers=1) as runtime,
    ):
        queue = Queue(broker, aws, runtime, tmp_path, function)
        queue.behave()
        yield queue
    for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    s3.delete_bucket(Bucket=BUCKET)


# --- what a function gets --------------------------------------------------------------------------------------------


def test_an_event_has_lambda_s_form(queue: Queue) -> None:
    queue.produce("Grüße", headers=[("trace", b"\x00\xff")], timestamp_ms=1_736_949_600_123)
    with queue.poller() as poller:
        poller.wait_until_drained()
    assert queue.events() == [
        {
            "eventSource": "SelfManagedKafka",
            "bootstrapServers": queue.broker.bootstrap_servers,
            "records": {
                "documents-0": [
                    {
                        "topic": "documents",
                        "partition": 0,
                        "offset": 0,
                        "timestamp": 1_736_949_600_123,
                        "timestampType": "CREATE_TIME",
                        "key": "a2V5",
                        "value": base64.b64encode("Grüße".encode()).decode(),
                        "headers": [{"trace": [0, 255]}],
                    }
                ]
            },
        }
    ]


def test_an_event_of_an_msk_cluster_names_the_cluster(queue: Queue) -> None:
    arn = "arn:aws:kafka:us-east-1:123456789012:cluster/events/0f3c-1"
    queue.produce("one")
    with queue.poller(event_source_arn=arn) as poller:
        poller.wait_until_drained()
    (event,) = queue.events()
    assert (event["eventSource"], event["eventSourceArn"]) == ("aws:kafka", arn)


def test_batches_have_at_most_the_size_of_the_mapping_and_keep_the_order(queue: Queue) -> None:
    queue.produce(*numbered(25))
    with queue.poller(batch_size=10) as poller:
        poller.wait_until_drained()
    assert [len(values) for values in queue.delivered()] == [10, 10, 5]
    assert queue.taken() == numbered(25)


def test_a_batch_that_is_not_full_waits_for_the_window_only(queue: Queue) -> None:
    with queue.poller(batch_size=1_000, batching_window_seconds=1 / SCALE) as poller:
        assert wait_until(lambda: bool(poller.positions))
        queue.produce("first")
        started = time.monotonic()
        queue.produce("second")
        poller.wait_until_drained()
        assert 0.5 < time.monotonic() - started < 5
    assert queue.delivered() == [["first", "second"]]


def test_an_event_stays_below_the_payload_of_an_invocation(queue: Queue) -> None:
    queue.produce(*(f"{number}" * 1_000_000 for number in range(9)))
    with queue.poller(batch_size=100, batching_window_seconds=1 / SCALE) as poller:
        counts = poller.wait_until_drained()
    sizes = [len(json.dumps(event, separators=(",", ":"))) for event in queue.events()]
    assert max(sizes) <= MAX_PAYLOAD_BYTES
    assert max(len(values) for values in queue.delivered()) == 4
    assert [value[:1] for values in queue.delivered() for value in values] == list("012345678")
    assert counts.records_handled == 9


# --- records that no invocation can take -----------------------------------------------------------------------------


def test_the_default_mode_drops_a_record_above_the_payload_says_so_and_goes_on(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.produce("before", b"x" * 5_000_000, "behind")
    with queue.poller() as poller:
        counts = poller.wait_until_drained()
    assert queue.taken() == ["before", "behind"]
    assert (counts.records_discarded, counts.records_handled) == (1, 3)
    assert queue.discarded() == []
    ours = [record for record in caplog.records if record.name == "local.event_source"]
    (warning,) = (record.getMessage() for record in ours if record.levelno == logging.WARNING)
    assert warning == "dropped for good: documents-0 offset 1, MaximumPayloadSizeExceeded; there is no destination"


def test_the_provisioned_mode_keeps_a_record_above_the_payload_and_goes_on(queue: Queue) -> None:
    large = b"x" * 5_000_000
    queue.produce("before", large, "behind")
    with queue.poller(**PROVISIONED) as poller:
        counts = poller.wait_until_drained()
    assert queue.taken() == ["before", "behind"]
    assert (counts.records_discarded, counts.records_handled) == (1, 3)
    (document,) = queue.discarded()
    assert document["requestContext"]["condition"] == "MaximumPayloadSizeExceeded"
    assert document["requestContext"]["approximateInvokeCount"] == 0
    assert document["responseContext"] is None
    (record,) = json.loads(document["payload"])["records"]["documents-0"]
    assert base64.b64decode(record["value"]) == large


# --- default mode ----------------------------------------------------------------------------------------------------


def test_a_batch_that_fails_is_delivered_again_whole_until_it_is_taken(queue: Queue) -> None:
    queue.behave(fails=True)
    queue.produce(*numbered(3))
    with queue.poller() as poller:
        assert wait_until(lambda: poller.counts.function_errors >= 3, 20)
        assert poller.counts.records_handled == 0
        with pytest.raises(NotDrainedError, match="3 records of documents are left"):
            poller.wait_until_drained(0.1)
        queue.behave()
        counts = poller.wait_until_drained()
    assert queue.taken() == numbered(3)
    assert set(map(tuple, queue.delivered())) == {tuple(numbered(3))}
    assert counts.records_discarded == 0


def test_the_default_mode_reads_nothing_from_what_the_function_returns(queue: Queue) -> None:
    queue.behave(answer={"batchItemFailures": [{"itemIdentifier": {"partition": "documents-0", "offset": 0}}]})
    queue.produce("one")
    with queue.poller() as poller:
        assert poller.wait_until_drained().invocations == 1


def test_waits_between_deliveries_grow(queue: Queue) -> None:
    queue.behave(fails=True)
    queue.produce("one")
    with queue.poller() as poller:
        assert wait_until(lambda: poller.counts.function_errors == 1, 20)
        started = time.monotonic()
        assert wait_until(lambda: poller.counts.function_errors == 6, 20)
    assert time.monotonic() - started > (1 + 2 + 4 + 8 + 16) * SCALE


def test_a_throttled_function_is_asked_again(queue: Queue) -> None:
    queue.runtime.throttle("embed", 3)
    queue.produce("one")
    with queue.poller() as poller:
        counts = poller.wait_until_drained()
    assert (counts.invocations, counts.function_errors, queue.taken()) == (1, 0, ["one"])


# --- provisioned mode ------------------------------------------------------------------------------------------------


def test_a_partial_response_goes_on_at_the_lowest_failed_record(queue: Queue) -> None:
    queue.behave(partial=True, poison=["record 3", "record 5"])
    queue.produce(*numbered(7))
    with queue.poller(**PROVISIONED) as poller:
        assert wait_until(lambda: poller.counts.partial_failures >= 1, 20)
        queue.behave()
        poller.wait_until_drained()
    first, second = queue.delivered()[:2]
    assert first == numbered(7)
    assert second == numbered(7)[3:]
    assert not queue.discarded()
    assert {"record 3", "record 5"} <= set(queue.taken())


@pytest.mark.parametrize("partial", [True, False], ids=["partial-response", "function-error"])
def test_a_poison_record_ends_alone_in_the_bucket_and_takes_no_neighbour_with_it(queue: Queue, partial: bool) -> None:
    queue.behave(partial=partial, poison=["record 6"])
    queue.produce(*numbered(12))
    with queue.poller(**PROVISIONED) as poller:
        counts = poller.wait_until_drained()
    assert set(queue.taken()) == set(numbered(12)) - {"record 6"}
    assert (counts.records_handled, counts.records_discarded) == (12, 1)
    (document,) = queue.discarded()
    assert values_of(json.loads(document["payload"])) == ["record 6"]
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    # It was tried with its neighbours first; alone once, and as often again as the mapping says.
    assert queue.delivered().count(["record 6"]) == 1 + 2
    assert infos(document)["documents-0"]["firstRecordOffset"] == "6"


def test_what_is_discarded_has_lambda_s_form(queue: Queue) -> None:
    queue.behave(fails=True)
    queue.produce("one", timestamp_ms=1_736_949_600_123)
    with queue.poller(**PROVISIONED) as poller:
        poller.wait_until_drained()
    (document,) = queue.discarded()
    assert document.pop("timestamp").endswith("Z")
    assert document["requestContext"].pop("requestId")
    (event,) = queue.events()[:1]
    assert json.loads(document.pop("payload")) == event
    assert document == {
        "requestContext": {
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:embed",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "KafkaBatchInfo": {
            "batchSize": 1,
            "bootstrapServers": queue.broker.bootstrap_servers,
            "payloadSize": len(json.dumps(event, separators=(",", ":"))),
            "recordsInfo": {
                "documents-0": {
                    "firstRecordOffset": "0",
                    "lastRecordOffset": "0",
                    "firstRecordTimestamp": "2025-01-15T14:00:00.123Z",
                    "lastRecordTimestamp": "2025-01-15T14:00:00.123Z",
                }
            },
        },
    }
    (item,) = queue.aws.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert item["Key"].startswith("aws/lambda/11111111-2222-3333-4444-555555555555/documents-0/20")


def test_a_response_that_breaks_the_form_fails_the_batch(queue: Queue) -> None:
    queue.behave(answer={"batchItemFailures": [{"itemIdentifier": "documents-0"}]})
    queue.produce("one")
    with queue.poller(**PROVISIONED) as poller:
        poller.wait_until_drained()
    assert len(queue.discarded()) == 1


def test_a_record_that_is_too_old_is_kept_untried(queue: Queue) -> None:
    queue.produce("old", timestamp_ms=int((time.time() - 3_600) * 1_000))
    queue.produce("new")
    with queue.poller(**PROVISIONED, maximum_record_age_seconds=60) as poller:
        counts = poller.wait_until_drained()
    assert queue.delivered() == [["new"]]
    (document,) = queue.discarded()
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert values_of(json.loads(document["payload"])) == ["old"]
    assert counts.records_handled == 2


def test_nothing_goes_on_while_the_bucket_is_away(queue: Queue) -> None:
    s3 = queue.aws.client("s3")
    s3.delete_bucket(Bucket=BUCKET)
    queue.behave(poison=["poison"])
    queue.produce("poison", "good")
    with queue.poller(**PROVISIONED, batch_size=1) as poller:
        assert wait_until(lambda: poller.counts.invocations == 3, 20)
        time.sleep(0.3)
        assert (poller.counts.records_handled, poller.counts.records_discarded) == (0, 0)
        s3.create_bucket(Bucket=BUCKET)
        counts = poller.wait_until_drained()
    assert (counts.records_handled, counts.records_discarded) == (2, 1)


def test_partitions_are_delivered_together_and_go_on_apart(queue: Queue) -> None:
    admin = KafkaAdminClient(bootstrap_servers=queue.broker.bootstrap_servers)
    admin.create_topics({"parted": {"num_partitions": 2, "replication_factor": 1}})
    admin.close()
    producer = KafkaProducer(bootstrap_servers=queue.broker.bootstrap_servers)
    for number in range(3):
        for partition in (0, 1):
            producer.send("parted", f"{partition}/{number}".encode(), partition=partition).get(timeout=10)
    producer.close()
    queue.behave(partial=True, poison=["1/1"])
    with queue.poller(**PROVISIONED, topic="parted", batching_window_seconds=0.5 / SCALE) as poller:
        assert wait_until(lambda: poller.counts.partial_failures >= 1, 20)
        queue.behave()
        poller.wait_until_drained()
        assert poller.positions == {0: 3, 1: 3}
    first, second = queue.events()[:2]
    assert {place: len(records) for place, records in first["records"].items()} == {"parted-0": 3, "parted-1": 3}
    assert values_of(second) == ["1/1", "1/2"]


# --- what breaks around it -------------------------------------------------------------------------------------------


def test_a_broker_that_hangs_for_a_while_delays_and_loses_nothing(queue: Queue) -> None:
    with queue.poller(batch_size=2) as poller:
        queue.produce(*numbered(3))
        poller.wait_until_drained()
        with queue.broker.hanging():
            time.sleep(5)
        queue.produce("later")
        poller.wait_until_drained()
    assert queue.taken() == [*numbered(3), "later"]


def test_a_commit_waits_for_a_broker_that_hangs(queue: Queue) -> None:
    queue.behave(seconds=1)
    queue.produce("one")
    with queue.poller() as poller:
        assert wait_until(lambda: len(queue.events()) == 1, 20)
        with queue.broker.hanging():
            assert wait_until(lambda: poller.counts.broker_errors >= 1, 20)
        poller.wait_until_drained()
    with queue.poller() as second:
        queue.behave()
        queue.produce("two")
        second.wait_until_drained()
    assert queue.delivered() == [["one"], ["two"]]


def test_a_restarted_broker_is_read_from_its_beginning(queue: Queue) -> None:
    with queue.poller() as poller:
        queue.produce(*numbered(20))
        poller.wait_until_drained()
        queue.broker.stop()
        time.sleep(0.5)
        queue.broker.start()
        # More than before would hide records from a reader that goes on at its old offset; so would fewer.
        queue.produce(*(f"anew {number}" for number in range(30)))
        counts = poller.wait_until_drained()
        assert poller.positions == {0: 30}
    assert queue.taken() == [*numbered(20), *(f"anew {number}" for number in range(30))]
    assert counts.records_handled == 50


def test_the_batch_under_way_survives_a_restart_of_the_broker(queue: Queue) -> None:
    queue.behave(fails=True)
    queue.produce(*numbered(2))
    with queue.poller() as poller:
        assert wait_until(lambda: poller.counts.function_errors >= 1, 20)
        queue.broker.stop()
        queue.broker.start()
        queue.produce("anew")
        queue.behave()
        poller.wait_until_drained()
        assert poller.positions == {0: 1}
    assert queue.taken() == [*numbered(2), "anew"]


def test_a_poller_waits_for_a_broker_that_is_not_there_yet(queue: Queue) -> None:
    queue.broker.stop()
    with queue.poller() as poller:
        assert wait_until(lambda: poller.counts.broker_errors >= 1, 20)
        queue.broker.start()
        queue.produce("one")
        poller.wait_until_drained()
    assert queue.taken() == ["one"]


def test_the_next_poller_of_the_group_goes_on_where_the_last_one_was(queue: Queue) -> None:
    queue.produce("one")
    with queue.poller() as poller:
        poller.wait_until_drained()
    queue.produce("two")
    with queue.poller() as poller:
        poller.wait_until_drained()
    assert queue.delivered() == [["one"], ["two"]]


def test_a_poller_that_stops_in_the_middle_of_a_batch_leaves_it_to_the_next(queue: Queue) -> None:
    queue.behave(fails=True)
    queue.produce(*numbered(3))
    with queue.poller() as poller:
        assert wait_until(lambda: poller.counts.function_errors >= 2, 20)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    queue.behave()
    with queue.poller() as poller:
        poller.wait_until_drained()
    assert queue.taken() == numbered(3)


def test_a_long_invocation_does_not_hold_the_stop_up(queue: Queue) -> None:
    queue.behave(seconds=8)
    queue.produce("one")
    mapping = EventSourceMapping("id", queue.function.arn, TOPIC, queue.group)
    poller = EventSourcePoller(mapping, queue.broker, queue.runtime, queue.aws.client("s3"), SCALE)
    poller.start()
    assert wait_until(lambda: len(queue.events()) == 1, 20)
    started = time.monotonic()
    poller.stop(grace_seconds=0.2)
    queue.runtime.stop()
    poller.join()
    assert time.monotonic() - started < 4
    assert poller.counts.records_handled == 0


def test_who_waits_for_a_poller_that_stops_is_told(queue: Queue) -> None:
    queue.behave(fails=True)
    queue.produce("one")
    with queue.poller() as poller:
        assert wait_until(lambda: poller.counts.function_errors >= 1, 20)
    with pytest.raises(NotDrainedError, match="1 records of documents are left"):
        poller.wait_until_drained()


def test_a_killed_worker_is_a_failure_like_any_other(queue: Queue) -> None:
    queue.behave(seconds=2)
    queue.produce("one")
    with queue.poller() as poller:
        assert wait_until(lambda: len(queue.events()) == 1, 20)
        queue.behave()
        queue.runtime.update(queue.function)  # ends its workers, busy ones too
        counts = poller.wait_until_drained()
    assert counts.function_errors == 1
    assert queue.taken() == ["one"]


# --- where a topic ends ----------------------------------------------------------------------------------------------


def test_the_end_of_a_topic_is_found_although_the_broker_reports_it_wrongly(queue: Queue) -> None:
    producer = KafkaProducer(bootstrap_servers=queue.broker.bootstrap_servers, linger_ms=200)
    try:
        for _ in range(2):
            for value in numbered(10):
                producer.send(TOPIC, value.encode())
            producer.flush()
    finally:
        producer.close()
    assert end_offsets(queue.broker.bootstrap_servers, TOPIC) == {0: 20}


def test_lag_counts_what_is_not_handled(queue: Queue) -> None:
    queue.behave(fails=True)
    with queue.poller() as poller:
        assert wait_until(lambda: bool(poller.positions))
        assert poller.lag() == 0
        queue.produce(*numbered(4))
        assert poller.lag() == 4
        queue.behave()
        poller.wait_until_drained()
        assert poller.lag() == 0


# --- the template's mapping ------------------------------------------------------------------------------------------


def _properties(**more: Any) -> dict[str, Any]:
    return {
        "FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:embed",
        "Topics": ["documents"],
        "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "group"},
        "BatchSize": 7,
        "MaximumBatchingWindowInSeconds": 3,
        **more,
    }


def test_a_mapping_without_pollers_of_its_own_is_in_the_default_mode() -> None:
    mapping = EventSourceMapping.of("Mapping", _properties())
    assert (mapping.function_name, mapping.topic, mapping.consumer_group) == ("embed", "documents", "group")
    assert (mapping.batch_size, mapping.batching_window_seconds) == (7, 3)
    assert not mapping.provisioned
    assert mapping.maximum_retry_attempts is None


def test_a_provisioned_mapping_says_how_it_gives_up() -> None:
    mapping = EventSourceMapping.of(
        "Mapping",
        _properties(
            ProvisionedPollerConfig={"MinimumPollers": 1},
            FunctionResponseTypes=["ReportBatchItemFailures"],
            BisectBatchOnFunctionError=True,
            MaximumRetryAttempts=5,
            MaximumRecordAgeInSeconds=-1,
            DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::failures"}},
        ),
    )
    assert mapping.provisioned
    assert mapping.partial_batch_responses
    assert mapping.bisect_batch_on_function_error
    assert (mapping.maximum_retry_attempts, mapping.maximum_record_age_seconds) == (5, None)
    assert mapping.destination_bucket == "failures"
