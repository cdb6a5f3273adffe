"""What the campaign of faults counts as paid for again, and how much of that its faults explain."""

from collections.abc import Mapping
from typing import Any

from bench.embedding_faults import paid_again


def request(*texts: str, status: int | None = 200, fault: str | None = None) -> Mapping[str, Any]:
    return {"status": status, "fault": fault, "input_sha256": list(texts)}


def test_texts_that_are_paid_once_each_are_paid_again_never() -> None:
    log = [request("a", "b", status=429, fault="status 429"), request("a", "b"), request("c")]
    assert paid_again(log, kills=0) == (0, 0)


def test_an_answer_that_is_disturbed_or_lost_costs_its_texts_once_more() -> None:
    log = [request("a", "b", fault="missing_one"), request("a", "b", status=None, fault="reset"), request("a", "b")]
    assert paid_again(log, kills=0) == (4, 4)


def test_a_kill_explains_the_texts_of_one_request_and_no_more() -> None:
    log = [request("a", "b"), request("c"), request("a", "b"), request("c")]
    assert paid_again(log, kills=1) == (3, 2)
