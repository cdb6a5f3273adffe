"""What Lambda makes of Kafka records: the event that a function gets, and what is kept of records that it gave up on.

Forms: Lambda developer guide, "Using Lambda with Apache Kafka" (example events) and "Capturing discarded batches".
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from kafka.consumer.fetcher import ConsumerRecord

from local.lambda_function import InvocationResult
from local.lambda_runtime import MAX_PAYLOAD_BYTES

__all__ = ["Discarded", "EventSource", "Record", "event_of", "failed_offsets", "taken_by_one_event"]

_TIMESTAMP_TYPES = {0: "CREATE_TIME", 1: "LOG_APPEND_TIME"}

Condition = Literal["RetryAttemptsExhausted", "MaximumPayloadSizeExceeded", "RecordAgeExceeded"]


@dataclass(frozen=True)
class EventSource:
    """Where an event says that it comes from. `arn` is an MSK cluster's; brokers of one's own have none."""

    bootstrap_servers: str
    arn: str | None = None

    def envelope(self) -> dict[str, Any]:
        """The event without its records."""
        if self.arn is None:
            return {"eventSource": "SelfManagedKafka", "bootstrapServers": self.bootstrap_servers}
        return {"eventSource": "aws:kafka", "eventSourceArn": self.arn, "bootstrapServers": self.bootstrap_servers}


@dataclass(frozen=True)
class Record:
    """A consumed record as it stands in an event."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # milliseconds
    body: Mapping[str, Any]

    @classmethod
    def of(cls, consumed: ConsumerRecord) -> Record:
        """A record as kafka-python gives it. A record without key or value has no such field in the event."""
        body: dict[str, Any] = {
            "topic": consumed.topic,
            "partition": consumed.partition,
            "offset": consumed.offset,
            "timestamp": consumed.timestamp,
            "timestampType": _TIMESTAMP_TYPES.get(consumed.timestamp_type, "NO_TIMESTAMP_TYPE"),
            "headers": [{name: list(value or b"")} for name, value in consumed.headers],
        }
        for name, content in (("key", consumed.key), ("value", consumed.value)):
            if content is not None:
                body[name] = base64.b64encode(content).decode()
        return cls(consumed.topic, consumed.partition, consumed.offset, consumed.timestamp, body)

    @property
    def place(self) -> str:
        """`topic-partition`, as the keys of an event's records have it."""
        return f"{self.topic}-{self.partition}"

    @cached_property
    def size(self) -> int:
        """Bytes that the record adds to an event at most: itself, and the list that it may be the first of."""
        return len(_encoded({self.place: [self.body]}))


def event_of(source: EventSource, records: Iterable[Record]) -> bytes:
    """The payload of an invocation with these records."""
    by_place: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        by_place.setdefault(record.place, []).append(record.body)
    return _encoded({**source.envelope(), "records": by_place})


def taken_by_one_event(source: EventSource, records: Iterable[Record]) -> list[Record]:
    """The first records, as many as the payload of one invocation holds; none when the first alone is too large."""
    size = len(_encoded({**source.envelope(), "records": {}}))
    taken = []
    for record in records:
        size += record.size
        if size > MAX_PAYLOAD_BYTES:
            break
        taken.append(record)
    return taken


def failed_offsets(payload: bytes, records: Sequence[Record]) -> dict[str, int]:
    """Of a partial batch response: the lowest failed offset of each `topic-partition` that has one.

    Nothing failed when it is empty, null or has no list. A response that breaks the form, or names a record that was
    not in the batch, fails the whole batch (Lambda developer guide, "Partial batch responses").
    """
    known = {(record.place, record.offset) for record in records}
    all_of_it: dict[str, int] = {}
    for record in records:
        all_of_it[record.place] = min(record.offset, all_of_it.get(record.place, record.offset))
    response = json.loads(payload)
    if response is None or response == "":
        return {}
    if not isinstance(response, dict):
        return all_of_it
    failures = response.get("batchItemFailures")
    if failures is None:
        return {}
    if not isinstance(failures, list):
        return all_of_it
    lowest: dict[str, int] = {}
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(identifier, dict):
            return all_of_it
        place, offset = identifier.get("partition"), identifier.get("offset")
        if not isinstance(place, str) or type(offset) is not int or (place, offset) not in known:
            return all_of_it
        lowest[place] = min(offset, lowest.get(place, offset))
    return lowest


@dataclass(frozen=True)
class Discarded:
    """Records that Lambda gives up on."""

    records: Sequence[Record]
    condition: Condition
    invocations: int
    function_arn: str
    source: EventSource
    result: InvocationResult | None  # None: the function was not asked

    def key(self, mapping_id: str, moment: datetime) -> str:
        """Name of the S3 object. Documented for streams (Kinesis, DynamoDB); the shard is the topic and partition."""
        place = self.records[0].place
        return f"aws/lambda/{mapping_id}/{place}/{moment:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"

    def document(self, moment: datetime) -> bytes:
        """Content of the S3 object: what is told about the batch, and the whole event as JSON within JSON."""
        event = event_of(self.source, self.records)
        response = None
        if self.result is not None:
            response = {"statusCode": 200, "executedVersion": "$LATEST"}
            if self.result.function_error is not None:
                response["functionError"] = self.result.function_error
        batch: dict[str, Any] = {
            "batchSize": len(self.records),
            "bootstrapServers": self.source.bootstrap_servers,
            "payloadSize": len(event),
            "recordsInfo": _records_info(self.records),
        }
        if self.source.arn is not None:
            batch["eventSourceArn"] = self.source.arn
        return _encoded(
            {
                "requestContext": {
                    "requestId": str(uuid.uuid4()),
                    "functionArn": self.function_arn,
                    "condition": self.condition,
                    "approximateInvokeCount": self.invocations,
                },
                "responseContext": response,
                "version": "1.0",
                "timestamp": _milliseconds(moment),
                "KafkaBatchInfo": batch,
                "payload": event.decode(),
            }
        )


def _records_info(records: Iterable[Record]) -> dict[str, dict[str, str]]:
    info: dict[str, dict[str, str]] = {}
    for record in records:
        timestamp = _milliseconds(datetime.fromtimestamp(record.timestamp / 1_000, UTC))
        of_place = info.setdefault(
            record.place, {"firstRecordOffset": str(record.offset), "firstRecordTimestamp": timestamp}
        )
        of_place |= {"lastRecordOffset": str(record.offset), "lastRecordTimestamp": timestamp}
    return info


def _milliseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
