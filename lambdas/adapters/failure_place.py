"""Broken records in S3, for people: `broken/{topic}/{partition}/{offset}.json`.

The object is JSON: `topic`, `partition`, `offset`, `reason`, `value` (base64 of what the record holds, null for
nothing). What it holds can be traced content: whoever may read the bucket may read that.
"""

import base64
import functools
import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from embedding.ports import BrokenRecord, RecordPosition
from trace_summarization.errors import FailurePlaceUnavailable, InvalidConfiguration

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["S3FailurePlace"]

_PREFIX: Final = "broken"
_OFFSET_DIGITS: Final = 20  # of the largest offset: in the order of their names objects are in the order of the queue
# Answers that no further attempt changes: somebody has to correct a name or a right.
_FINAL_CODES: Final = (
    "AccessDenied",
    "AllAccessDisabled",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "NoSuchBucket",
    "PermanentRedirect",
    "SignatureDoesNotMatch",
)


@functools.cache
def _s3() -> Any:
    import boto3  # only here: nearly every batch is without a broken record
    from botocore.config import Config

    # A put takes milliseconds: three quick attempts; then the batch is delivered again.
    config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 3, "mode": "standard"})
    return boto3.client("s3", config=config)


@dataclass(frozen=True)
class S3FailurePlace:
    """`FailurePlace` in a bucket."""

    bucket: str

    def keep(self, record: BrokenRecord) -> None:
        """Write the record's object, over that of an earlier delivery."""
        position = record.position
        content = {
            "topic": position.topic,
            "partition": position.partition,
            "offset": position.offset,
            "reason": record.reason,
            "value": None if record.value is None else base64.b64encode(record.value).decode(),
        }
        with self._typed_errors():
            _s3().put_object(
                Bucket=self.bucket,
                Key=f"{_folder(position)}{_name(position.offset)}",
                Body=json.dumps(content).encode(),
                ContentType="application/json",
            )

    def kept(self, positions: Collection[RecordPosition]) -> frozenset[RecordPosition]:
        """Which of these records have an object: one listing for each partition, of their offsets only."""
        by_folder: dict[str, list[RecordPosition]] = defaultdict(list)
        for position in positions:
            by_folder[_folder(position)].append(position)
        found: set[RecordPosition] = set()
        for folder, wanted in by_folder.items():
            names = self._names(folder, min(one.offset for one in wanted), max(one.offset for one in wanted))
            found.update(position for position in wanted if _name(position.offset) in names)
        return frozenset(found)

    def _names(self, folder: str, first_offset: int, last_offset: int) -> set[str]:
        names: set[str] = set()
        last = f"{folder}{_name(last_offset)}"
        # Keys after this one: the offset itself has a longer name.
        after = f"{folder}{first_offset:0{_OFFSET_DIGITS}}"
        while True:
            with self._typed_errors():
                answer = _s3().list_objects_v2(Bucket=self.bucket, Prefix=folder, StartAfter=after)
            keys = [item["Key"] for item in answer.get("Contents", ())]
            names.update(key.removeprefix(folder) for key in keys)
            if not answer["IsTruncated"] or keys[-1] >= last:
                return names
            after = keys[-1]

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise self._typed(error) from error

    def _typed(self, error: "ClientError | BotoCoreError") -> FailurePlaceUnavailable | InvalidConfiguration:
        response = getattr(error, "response", None)
        code = str(response["Error"]["Code"]) if response else type(error).__name__
        if code in _FINAL_CODES:
            return InvalidConfiguration(f"bucket {self.bucket}: {code}")
        return FailurePlaceUnavailable(f"bucket {self.bucket}: {code}")


def _folder(position: RecordPosition) -> str:
    return f"{_PREFIX}/{position.topic}/{position.partition}/"


def _name(offset: int) -> str:
    return f"{offset:0{_OFFSET_DIGITS}}.json"
