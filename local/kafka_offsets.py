"""Where a topic really ends: the local broker reports high watermarks that are too low."""

from __future__ import annotations

from collections.abc import Mapping

from kafka import KafkaConsumer, TopicPartition

__all__ = ["consumer_options", "end_offsets"]

_QUIET_MS = 150  # the broker answers within a few milliseconds when there is something to read
_TIMEOUT_MS = 3_000


def consumer_options(bootstrap_servers: str) -> dict[str, object]:
    """Options of a consumer that notices an absent broker within seconds and takes records larger than usual."""
    return {
        "bootstrap_servers": bootstrap_servers,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "bootstrap_timeout_ms": _TIMEOUT_MS,
        "request_timeout_ms": _TIMEOUT_MS,
        "reconnect_backoff_max_ms": 500,
        "max_partition_fetch_bytes": 16 * 1024 * 1024,
    }


def end_offsets(bootstrap_servers: str, topic: str) -> Mapping[int, int]:
    """The offset after the last record of each partition, found by reading on from the reported one.

    Raises KafkaError when the broker does not answer.
    """
    consumer = KafkaConsumer(**consumer_options(bootstrap_servers))
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        for partition, reported in consumer.end_offsets(partitions, timeout_ms=_TIMEOUT_MS).items():
            # The reported one lies within the last batch of records, or right behind the last record.
            consumer.seek(partition, max(reported - 1, 0))
        while consumer.poll(timeout_ms=_QUIET_MS):
            pass
        return {partition.partition: consumer.position(partition) for partition in partitions}
    finally:
        consumer.close()
