"""The template's event source mapping, as the local poller reads it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["EventSourceMapping"]


@dataclass(frozen=True)
class EventSourceMapping:
    """An `AWS::Lambda::EventSourceMapping` of a Kafka topic, references resolved.

    Seconds where Lambda has them. `provisioned` is the mode; what follows it is Lambda's in that mode only.
    `maximum_retry_attempts` and `maximum_record_age_seconds`: None is without end.
    """

    id: str
    function_arn: str
    topic: str
    consumer_group: str
    batch_size: int = 100
    batching_window_seconds: float = 0.5  # Lambda's own default for Kafka
    event_source_arn: str | None = None
    provisioned: bool = False
    partial_batch_responses: bool = False
    bisect_batch_on_function_error: bool = False
    maximum_retry_attempts: int | None = None
    maximum_record_age_seconds: int | None = None
    destination_bucket: str | None = None

    @classmethod
    def of(cls, logical_id: str, properties: Mapping[str, Any]) -> Self:
        """A mapping by its logical id and resolved properties. Raises KeyError for one that is not of a Kafka topic."""
        arn = properties.get("EventSourceArn")
        group = properties["AmazonManagedKafkaEventSourceConfig" if arn else "SelfManagedKafkaEventSourceConfig"]
        (topic,) = properties["Topics"]
        destination = properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        return cls(
            id=str(uuid.uuid5(uuid.NAMESPACE_OID, logical_id)),
            function_arn=properties["FunctionName"],
            topic=topic,
            consumer_group=group["ConsumerGroupId"],
            batch_size=properties.get("BatchSize", cls.batch_size),
            batching_window_seconds=properties.get("MaximumBatchingWindowInSeconds", cls.batching_window_seconds),
            event_source_arn=arn,
            provisioned="ProvisionedPollerConfig" in properties,
            partial_batch_responses="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", ()),
            bisect_batch_on_function_error=properties.get("BisectBatchOnFunctionError", False),
            maximum_retry_attempts=_limit(properties.get("MaximumRetryAttempts", -1)),
            maximum_record_age_seconds=_limit(properties.get("MaximumRecordAgeInSeconds", -1)),
            destination_bucket=destination.rpartition(":")[2] if destination else None,
        )

    @property
    def function_name(self) -> str:
        """The function's name, as the runtime knows it."""
        return self.function_arn.rpartition(":")[2]


def _limit(value: int) -> int | None:
    return None if value == -1 else value  # -1 is Lambda's word for no limit
