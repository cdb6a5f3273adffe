"""Broken records in S3, for people: `broken/{topic}/{partition}/{offset}-{SHA-256 of the value}[-{model}].json`.

The object is JSON: `topic`, `partition`, `offset`, `model` (which does not embed it; null when the message is broken as
a whole), `reason`, `value` (base64 of what the record holds, null for nothing). What it holds can be traced content:
whoever may read the bucket may read that.
"""

import base64
import functools
import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from embedding.ports import BrokenRecord, KeptRecord, RecordPosition
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
            "model": record.model_name,
            "reason": record.reason,
            "value": None if record.value is None else base64.b64encode(record.value).decode(),
        }
        with self._typed_errors():
            _s3().put_object(
                Bucket=self.bucket,
                Key=f"{_folder(position)}{_name(record.identity)}",
                Body=json.dumps(content).encode(),
                ContentType="application/json",
            )

    def kept(self, records: Collection[KeptRecord]) -> frozenset[KeptRecord]:
        """Which of these records have an object: one listing for each partition, of their offsets only."""
        by_folder: dict[str, list[KeptRecord]] = defaultdict(list)
        for record in records:
            by_folder[_folder(record.position)].append(record)
        found: set[KeptRecord] = set()
        for folder, wanted in by_folder.items():
            offsets = [record.position.offset for record in wanted]
            names = self._names(folder, min(offsets), max(offsets))
            found.update(record for record in wanted if _name(record) in names)
        return frozenset(found)

    def _names(self, folder: str, first_offset: int, last_offset: int) -> set[str]:
        names: set[str] = set()
        # Keys after the first and before the last: names go on after their offset.
        after, last = f"{folder}{_digits(first_offset)}", f"{folder}{_digits(last_offset + 1)}"
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


def _name(record: KeptRecord) -> str:
    model = "" if record.model_name is None else f"-{quote(record.model_name, safe='')}"
    return f"{_digits(record.position.offset)}-{record.value_hash}{model}.json"


def _digits(offset: int) -> str:
    return f"{offset:0{_OFFSET_DIGITS}}"
