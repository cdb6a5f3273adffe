"""Broken records in an S3 server on a socket: each kept once, found again, and faults by what helps against them."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from adapters import failure_place
from adapters.failure_place import S3FailurePlace
from embedding.ports import BrokenRecord, KeptRecord, RecordPosition
from local.aws import LocalAws
from tests.flow.http_proxy import Fault, HttpProxy
from trace_summarization.errors import FailurePlaceUnavailable, InvalidConfiguration

TOPIC = "document_embeddings_input"
POSITION = RecordPosition(TOPIC, 3, 42)


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as aws:
        yield aws


@pytest.fixture
def proxy(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpProxy]:
    proxy = HttpProxy(int(aws.endpoint_url.rpartition(":")[2]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    failure_place._s3.cache_clear()
    yield proxy
    failure_place._s3().close()
    failure_place._s3.cache_clear()
    proxy.stop()


@pytest.fixture
def s3(aws: LocalAws, proxy: HttpProxy, request: pytest.FixtureRequest) -> Any:
    """The server's own client; each test has a bucket of its own."""
    client = aws.client("s3")
    client.create_bucket(Bucket=bucket_of(request))
    return client


@pytest.fixture
def place(s3: Any, request: pytest.FixtureRequest) -> S3FailurePlace:
    return S3FailurePlace(bucket_of(request))


def bucket_of(request: pytest.FixtureRequest) -> str:
    return f"failures-{abs(hash(request.node.name)):x}"


def whole(position: RecordPosition) -> KeptRecord:
    return KeptRecord.of(position, b"{}", None)


def objects(s3: Any, place: S3FailurePlace) -> dict[str, Any]:
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=place.bucket).get("Contents", [])]
    return {key: json.loads(s3.get_object(Bucket=place.bucket, Key=key)["Body"].read()) for key in keys}


def test_a_record_is_kept_with_its_place_its_value_and_the_reason(s3: Any, place: S3FailurePlace) -> None:
    value = b"\xff\x00 no JSON"
    place.keep(BrokenRecord(POSITION, value, "value: is not UTF-8"))
    assert objects(s3, place) == {
        f"broken/{TOPIC}/3/00000000000000000042-{hashlib.sha256(value).hexdigest()}.json": {
            "topic": TOPIC,
            "partition": 3,
            "offset": 42,
            "model": None,
            "reason": "value: is not UTF-8",
            "value": base64.b64encode(value).decode(),
        }
    }


def test_a_record_without_a_value_is_kept_as_one(s3: Any, place: S3FailurePlace) -> None:
    place.keep(BrokenRecord(POSITION, None, "value: is missing"))
    (kept,) = objects(s3, place).values()
    assert kept["value"] is None


def test_the_same_record_again_replaces_itself(s3: Any, place: S3FailurePlace) -> None:
    for reason in ("first", "second"):
        place.keep(BrokenRecord(POSITION, b"{}", reason))
    (kept,) = objects(s3, place).values()
    assert kept["reason"] == "second"


def test_kept_records_are_told_from_others(place: S3FailurePlace) -> None:
    places = [RecordPosition(topic, partition, offset) for topic in "ab" for partition in (1, 11) for offset in (0, 7)]
    held = [one for one in places if one.offset == 7 or one.topic == "b"]
    for position in (*held, RecordPosition("a", 1, 3), RecordPosition("a", 1, 70), RecordPosition("a", 1, 2**63 - 1)):
        place.keep(BrokenRecord(position, b"{}", "broken"))
    assert place.kept([whole(one) for one in places]) == {whole(one) for one in held}
    assert place.kept([]) == frozenset()


def test_a_record_is_kept_for_one_value_and_one_model_only(place: S3FailurePlace) -> None:
    identities = [
        KeptRecord.of(POSITION, value, model) for value in (b"{}", b"[]", None) for model in (None, "a/b:c-4", "a-4")
    ]
    place.keep(BrokenRecord(POSITION, b"{}", "refused", "a/b:c-4"))
    assert place.kept(identities) == {KeptRecord.of(POSITION, b"{}", "a/b:c-4")}


def test_a_kept_record_is_found_behind_more_than_one_page_of_others(s3: Any, place: S3FailurePlace) -> None:
    digest = hashlib.sha256(b"{}").hexdigest()
    for offset in range(1_005):
        s3.put_object(Bucket=place.bucket, Key=f"broken/{TOPIC}/0/{offset:020}-{digest}.json", Body=b"{}")
    wanted = [whole(RecordPosition(TOPIC, 0, offset)) for offset in (0, 1_004, 1_005)]
    assert place.kept(wanted) == frozenset(wanted[:2])


def test_a_bucket_that_is_not_there_is_a_configuration_error(s3: Any) -> None:
    nowhere = S3FailurePlace("no-such-bucket-anywhere")
    with pytest.raises(InvalidConfiguration, match="no-such-bucket-anywhere: NoSuchBucket"):
        nowhere.keep(BrokenRecord(POSITION, b"{}", "broken"))
    with pytest.raises(InvalidConfiguration, match="no-such-bucket-anywhere: NoSuchBucket"):
        nowhere.kept([whole(POSITION)])


def test_a_fault_that_passes_is_waited_out(s3: Any, place: S3FailurePlace, proxy: HttpProxy) -> None:
    with proxy.fault(Fault(lambda _: True, times=2, status=503)) as fault:
        place.keep(BrokenRecord(POSITION, b"{}", "broken"))
    assert (fault.taken, len(objects(s3, place))) == (2, 1)


@pytest.mark.parametrize(
    "fault",
    [Fault(lambda _: True, status=503), Fault(lambda _: True, reset=True), Fault(lambda _: True, status=500)],
    ids=["503", "reset", "500"],
)
def test_a_bucket_that_does_not_answer_is_unavailable(place: S3FailurePlace, proxy: HttpProxy, fault: Fault) -> None:
    with proxy.fault(fault), pytest.raises(FailurePlaceUnavailable):
        place.keep(BrokenRecord(POSITION, b"{}", "broken"))
