"""Lambda's Kafka event source on one machine: reads the topic and invokes the function, as the template says.

Default mode: a batch that fails is delivered again with growing waits, without end. Provisioned mode: partial batch
responses, splitting of batches that fail, limits of attempts and age, and an S3 object for what is given up on. A
record whose event is above an invocation's payload is given up on in both modes; without a destination nothing keeps
it. The service's own waits are not documented; the ones here are what streams show, times `backoff_scale`.

One thread reads all partitions, so batches never overlap; Lambda may work on several partitions at once.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from local.event_source_mapping import EventSourceMapping
from local.kafka_broker import KafkaBroker
from local.kafka_events import Condition, Discarded, EventSource, Record, event_of, failed_offsets, taken_by_one_event
from local.kafka_offsets import consumer_options, end_offsets
from local.lambda_function import InvocationResult
from local.lambda_runtime import LambdaRuntime, RuntimeStoppedError, ThrottledError

__all__ = ["EventSourcePoller", "NotDrainedError", "PollerCounts"]

logger = logging.getLogger(__name__)

_POLL_MS = 100
_COMMIT_TIMEOUT_MS = 2_000
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_BROKER_WAIT_SECONDS = 0.2


class NotDrainedError(TimeoutError):
    """Records were left unhandled; the message says how many and what the poller has done."""


@dataclass(frozen=True)
class PollerCounts:
    """What a poller has done so far. Records that are delivered again count again as read only."""

    records_read: int = 0
    records_handled: int = 0
    records_discarded: int = 0
    invocations: int = 0
    function_errors: int = 0
    partial_failures: int = 0
    broker_errors: int = 0


@dataclass(frozen=True)
class _Part:
    """Records of a batch that are delivered together. `retries`: of exactly these records."""

    records: Sequence[Record]
    retries: int = 0
    invocations: int = 0


class _Stopping(Exception):
    """The way out of every wait."""


class EventSourcePoller:
    """Reads the mapping's topic from the broker and invokes its function, in a thread between `start` and `stop`.

    Args:
        mapping: what to read, whom to invoke, how to fail.
        broker: read anew from the beginning after each of its starts, since it forgets records and offsets.
        runtime: has the function.
        s3: a client of the AWS that has the mapping's destination.
        backoff_scale: factor of the waits after failures and of the batching window.
    """

    def __init__(
        self,
        mapping: EventSourceMapping,
        broker: KafkaBroker,
        runtime: LambdaRuntime,
        s3: Any,
        backoff_scale: float = 1.0,
    ) -> None:
        self.mapping = mapping
        self._broker = broker
        self._runtime = runtime
        self._s3 = s3
        self._scale = backoff_scale
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._counts = PollerCounts()
        self._positions: dict[int, int] = {}  # by partition: the next offset to handle
        self._generation: int | None = None  # of the broker that the positions are of
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin to read; returns at once, whether or not the broker answers."""
        if self._thread is not None:
            raise RuntimeError("the poller was started already")
        self._thread = threading.Thread(target=self._run, name=f"poller-{self.mapping.function_name}", daemon=True)
        self._thread.start()

    def stop(self, grace_seconds: float = 1.0) -> None:
        """Start no further invocation, and wait a moment for the one under way. Can be called twice.

        A batch that is not done by then is not committed: the next poller of the group delivers it again. `join` waits
        for the thread's end, which a stopped runtime brings about.
        """
        self._stopping.set()
        self.join(grace_seconds)

    def join(self, timeout_seconds: float | None = 10.0) -> None:
        """Wait until the thread has ended, at most so long."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- told to others ----------------------------------------------------------------------------------------------

    @property
    def counts(self) -> PollerCounts:
        """What has been done so far."""
        with self._changed:
            return self._counts

    @property
    def positions(self) -> dict[int, int]:
        """By partition: the offset that is handled next. Empty before the broker has answered."""
        with self._changed:
            return dict(self._positions)

    def lag(self) -> int:
        """Records of the topic that are not handled yet. Raises KafkaError when the broker does not answer."""
        return _lag(end_offsets(self._broker.bootstrap_servers, self.mapping.topic), self.positions)

    def wait_until_drained(self, timeout_seconds: float = 60.0) -> PollerCounts:
        """Return once everything that was in the topic at the call is handled: taken by the function, or discarded.

        What the broker lost by a restart meanwhile does not count. Raises NotDrainedError when the time is over
        or the poller stops, and what ended the poller if something has.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            generation = self._broker.generation
            try:
                ends = end_offsets(self._broker.bootstrap_servers, self.mapping.topic)
            except KafkaError:
                if time.monotonic() > deadline:
                    raise
                continue
            with self._changed:
                while self._broker.generation == generation:
                    if self._error is not None:
                        raise self._error
                    # Positions in what an earlier start of the broker held say nothing about this one.
                    left = _lag(ends, self._positions if self._generation == generation else {})
                    if left == 0:
                        return self._counts
                    if (seconds := deadline - time.monotonic()) <= 0 or self._stopping.is_set():
                        raise NotDrainedError(f"{left} records of {self.mapping.topic} are left: {self._counts}")
                    self._changed.wait(min(seconds, 0.2))

    # --- reading -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._read_one_broker()
                except KafkaError as error:
                    logger.info("broker of %s: %s", self.mapping.topic, type(error).__name__)
                    self._count(broker_errors=1)
                    self._stopping.wait(_BROKER_WAIT_SECONDS)
        except _Stopping:
            return
        except BaseException as error:
            self._error = error
            raise

    def _read_one_broker(self) -> None:
        """Read and deliver until the poller stops or the broker has been started anew."""
        generation = self._broker.generation
        consumer = KafkaConsumer(
            **consumer_options(self._broker.bootstrap_servers), group_id=self.mapping.consumer_group
        )
        try:
            if not self._take_positions(consumer, generation):
                self._stopping.wait(_BROKER_WAIT_SECONDS)
                return
            pending: list[Record] = []
            opened = 0.0
            while not self._stopping.is_set() and self._broker.generation == generation:
                room = max(self.mapping.batch_size - len(pending), 1)
                consumed = consumer.poll(timeout_ms=_POLL_MS, max_records=room)
                new = [Record.of(record) for records in consumed.values() for record in records]
                if new and not pending:
                    opened = time.monotonic()
                pending += new
                self._count(records_read=len(new))
                while batch := self._ready_batch(pending, opened):
                    del pending[: len(batch)]
                    self._deliver(batch)
                    self._commit(consumer, generation, batch)
        finally:
            consumer.close(timeout_ms=_COMMIT_TIMEOUT_MS)

    def _take_positions(self, consumer: KafkaConsumer, generation: int) -> bool:
        """Go on where the group is committed; at the beginning of a broker that was started meanwhile.

        False when the topic is not there (yet).
        """
        numbers = consumer.partitions_for_topic(self.mapping.topic)
        if not numbers:
            return False
        partitions = [TopicPartition(self.mapping.topic, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        # A commit of the former broker's offsets may have reached the new one.
        restarted = self._generation not in (None, generation)
        positions = {}
        for partition in partitions:
            committed = None if restarted else consumer.committed(partition, timeout_ms=_COMMIT_TIMEOUT_MS)
            positions[partition.partition] = committed or 0
            consumer.seek(partition, committed or 0)
        with self._changed:
            self._positions, self._generation = positions, generation
            self._changed.notify_all()
        return True

    def _ready_batch(self, pending: Sequence[Record], opened: float) -> Sequence[Record]:
        """What is to be delivered now: a full batch, or what the window has gathered."""
        batch = taken_by_one_event(self._source(), pending[: self.mapping.batch_size])
        if pending and not batch:
            return pending[:1]  # larger than any event
        is_full = len(batch) == self.mapping.batch_size or len(batch) < len(pending)
        is_due = time.monotonic() - opened >= self.mapping.batching_window_seconds * self._scale
        return batch if is_full or is_due else []

    def _commit(self, consumer: KafkaConsumer, generation: int, batch: Sequence[Record]) -> None:
        """Remember that the batch is handled, here and in the broker, as soon as that answers."""
        handled = {record.partition: record.offset + 1 for record in batch}
        with self._changed:
            if self._generation == generation:
                self._positions |= handled
            self._counts = replace(self._counts, records_handled=self._counts.records_handled + len(batch))
            self._changed.notify_all()
        offsets = {
            TopicPartition(self.mapping.topic, partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in handled.items()
        }
        while self._broker.generation == generation:
            try:
                consumer.commit(offsets, timeout_ms=_COMMIT_TIMEOUT_MS)
            except KafkaError as error:
                logger.info("commit for %s: %s", self.mapping.topic, type(error).__name__)
                self._count(broker_errors=1)
                self._wait(_BROKER_WAIT_SECONDS)
            else:
                return

    # --- delivering --------------------------------------------------------------------------------------------------

    def _deliver(self, batch: Sequence[Record]) -> None:
        """Return when the function took every record, or what it did not take is discarded."""
        if not taken_by_one_event(self._source(), batch):
            self._discard(batch, "MaximumPayloadSizeExceeded", 0, None)
        elif self.mapping.provisioned:
            self._deliver_or_give_up(batch)
        else:
            self._deliver_until_taken(batch)

    def _deliver_until_taken(self, batch: Sequence[Record]) -> None:
        failures = 0
        while self._invoke(batch).function_error is not None:
            failures += 1
            self._wait(self._backoff(failures))

    def _deliver_or_give_up(self, batch: Sequence[Record]) -> None:
        limit = self.mapping.maximum_retry_attempts
        parts = deque([_Part(batch)])
        while parts:
            part = self._without_expired(parts.popleft())
            if not part.records:
                continue
            result = self._invoke(part.records)
            part = replace(part, invocations=part.invocations + 1)
            left = self._left_of(part.records, result)
            if not left:
                continue
            if len(left) < len(part.records):  # the function got on: these have not been tried alone
                parts.appendleft(replace(part, records=left, retries=0))
            elif self.mapping.bisect_batch_on_function_error and len(left) > 1:  # costs no attempt
                middle = len(left) // 2
                parts.extendleft([replace(part, records=left[middle:]), replace(part, records=left[:middle])])
            elif limit is not None and part.retries >= limit:
                self._discard(left, "RetryAttemptsExhausted", part.invocations, result)
                continue
            else:
                parts.appendleft(replace(part, retries=part.retries + 1))
            self._wait(self._backoff(part.retries + 1))

    def _left_of(self, records: Sequence[Record], result: InvocationResult) -> Sequence[Record]:
        """What has to be delivered again: from the lowest failed offset of each partition on."""
        if result.function_error is not None:
            return records
        if not self.mapping.partial_batch_responses:
            return []
        lowest = failed_offsets(result.payload, records)
        left = [record for record in records if record.place in lowest and record.offset >= lowest[record.place]]
        if left:
            self._count(partial_failures=1)
        return left

    def _without_expired(self, part: _Part) -> _Part:
        age = self.mapping.maximum_record_age_seconds
        if age is None:
            return part
        oldest = (time.time() - age) * 1_000
        fresh = [record for record in part.records if record.timestamp >= oldest]
        expired = [record for record in part.records if record.timestamp < oldest]
        if expired:
            self._discard(expired, "RecordAgeExceeded", part.invocations, None)
        return replace(part, records=fresh)

    def _invoke(self, records: Sequence[Record]) -> InvocationResult:
        """Run the function, again while it is throttled."""
        event = event_of(self._source(), records)
        throttled = 0
        while True:
            if self._stopping.is_set():
                raise _Stopping
            try:
                result = self._runtime.invoke(self.mapping.function_name, event)
            except ThrottledError:
                throttled += 1
                self._wait(self._backoff(throttled))
                continue
            except RuntimeStoppedError:
                self._stopping.set()  # there is nobody left to deliver to
                raise _Stopping from None
            failed = result.function_error is not None
            if failed:
                logger.info("%s failed: %s", self.mapping.function_name, json.loads(result.payload).get("errorType"))
            self._count(invocations=1, function_errors=int(failed))
            return result

    def _discard(
        self, records: Sequence[Record], condition: Condition, invocations: int, result: InvocationResult | None
    ) -> None:
        """Give up on records: keep them in the destination, without one drop them.

        While the destination does not answer, nothing goes on: they would be lost.
        """
        bucket = self.mapping.destination_bucket
        if bucket is None:
            for record in records:
                logger.warning(
                    "dropped for good: %s offset %d, %s; there is no destination",
                    record.place,
                    record.offset,
                    condition,
                )
            self._count(records_discarded=len(records))
            return
        function = self.mapping.function_arn
        discarded = Discarded(records, condition, invocations, function, self._source(), result)
        failures = 0
        while True:
            moment = datetime.now(UTC)
            key, document = discarded.key(self.mapping.id, moment), discarded.document(moment)
            try:
                self._s3.put_object(Bucket=bucket, Key=key, Body=document)
            except (BotoCoreError, ClientError) as error:
                logger.warning("bucket %s: %s", bucket, type(error).__name__)
                failures += 1
                self._wait(self._backoff(failures))
                continue
            self._count(records_discarded=len(records))
            return

    def _source(self) -> EventSource:
        return EventSource(self._broker.bootstrap_servers, self.mapping.event_source_arn)

    def _backoff(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        doubled = _FIRST_WAIT_SECONDS * float(2 ** min(failures - 1, 10))
        return min(doubled, _LONGEST_WAIT_SECONDS) * self._scale

    def _wait(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _Stopping

    def _count(self, **more: int) -> None:
        with self._changed:
            sums = {name: getattr(self._counts, name) + number for name, number in more.items()}
            self._counts = replace(self._counts, **sums)


def _lag(ends: Any, positions: dict[int, int]) -> int:
    return sum(max(end - positions.get(partition, 0), 0) for partition, end in ends.items())
