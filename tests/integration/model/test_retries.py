"""Waiting and trying again within the time: what is sent, when, and what becomes of the money set aside."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from adapters.model import OpenAiSummaryModel
from adapters.secrets import ModelSecret
from local.model_server import ModelServer
from tests.integration.model.traces import LONG_ENOUGH_SECONDS, request_for
from tests.spending import RecordedSpending
from trace_summarization import constants as c
from trace_summarization.errors import (
    BudgetExhausted,
    InvalidModelOutput,
    ModelAnsweredNothing,
    ModelRateLimited,
    ModelRefused,
    ModelRejectedRequest,
    ModelUnavailable,
    TraceSummarizationError,
)


@pytest.fixture
def flex_model(server: ModelServer) -> Iterator[OpenAiSummaryModel]:
    model = OpenAiSummaryModel(ModelSecret(api_key="k", base_url=server.base_url, service_tier="flex"))
    yield model
    model.close()


@contextmanager
def _takes(at_least: float, less_than: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert at_least <= time.monotonic() - began < less_than


_DEFAULT_WAIT = (c.MODEL_RETRY_WAIT_SECONDS / 2, 2.5)


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        (429, {"Retry-After": "1"}, (1.0, 2.5)),
        (500, {"Retry-After": "1"}, (1.0, 2.5)),
        (503, {"Retry-After": "1"}, (1.0, 2.5)),
        (529, {"Retry-After": "1"}, (1.0, 2.5)),
        (429, {"retry-after-ms": "300", "Retry-After": "9"}, (0.3, 1.5)),
        (502, {}, _DEFAULT_WAIT),
        (429, {"Retry-After": "soon"}, _DEFAULT_WAIT),
        (429, {"Retry-After": "-3"}, _DEFAULT_WAIT),
        (429, {"Retry-After": "nan"}, _DEFAULT_WAIT),
    ],
)
def test_an_endpoint_that_is_busy_is_asked_again_when_it_says(
    server: ModelServer,
    model: OpenAiSummaryModel,
    spending: RecordedSpending,
    status: int,
    headers: dict[str, str],
    waits: tuple[float, float],
) -> None:
    server.faults.replace([{"times": 1, "status": status, "headers": headers}])
    with _takes(*waits):
        assert model.answer(request_for(), LONG_ENOUGH_SECONDS, spending).content
    assert spending.log == ["reserve", "release", "reserve", "settle"]


def test_a_date_to_come_back_at_is_kept(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending
) -> None:
    back_at = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    server.faults.replace([{"times": 1, "status": 503, "headers": {"Retry-After": back_at}}])
    with _takes(1.5, 4.5):  # both dates are cut to whole seconds
        assert model.answer(request_for(), LONG_ENOUGH_SECONDS, spending).content


@pytest.mark.parametrize("headers", [{"Retry-After": "26"}, {"retry-after-ms": "26000"}])
def test_a_wait_after_which_no_answer_fits_is_not_begun(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending, headers: dict[str, str]
) -> None:
    server.faults.replace([{"status": 429, "headers": headers}])
    with _takes(0.0, 2.0), pytest.raises(ModelRateLimited):
        model.answer(request_for(), 30.0, spending)
    assert spending.log == ["reserve", "release"]


def test_waits_and_answers_together_stay_within_the_time(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending
) -> None:
    server.faults.replace(
        [
            {"times": 1, "status": 503, "headers": {"Retry-After": "1"}},
            {"kind": "delay", "seconds": c.MODEL_SHORTEST_ANSWER_SECONDS + 5},
        ]
    )
    with _takes(6.5, 8.0), pytest.raises(ModelUnavailable, match="no answer within"):
        model.answer(request_for(), 7.0, spending)
    assert spending.log == ["reserve", "release", "reserve", "keep"]


def test_it_gives_up_after_two_retries(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending
) -> None:
    server.faults.replace([{"status": 500, "headers": {"retry-after-ms": "10"}}])
    with pytest.raises(ModelUnavailable):
        model.answer(request_for(), LONG_ENOUGH_SECONDS, spending)
    assert spending.log == ["reserve", "release"] * 3


_BODY_WITHOUT_USAGE = {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("fault", "error", "end"),
    [
        ({"status": 400}, ModelRejectedRequest, "release"),
        ({"status": 401}, ModelRejectedRequest, "release"),
        ({"status": 429, "body": {"error": {"code": "insufficient_quota"}}}, ModelRejectedRequest, "release"),
        ({"kind": "refusal"}, ModelRefused, "settle"),
        ({"kind": "content_filter"}, ModelRefused, "settle"),
        ({"kind": "nothing"}, ModelAnsweredNothing, "settle"),
        ({"kind": "reset"}, ModelUnavailable, "keep"),
        ({"status": 200, "body": "<html>"}, InvalidModelOutput, "keep"),
        ({"status": 200, "body": {"choices": []}}, ModelAnsweredNothing, "keep"),
    ],
)
def test_what_cannot_be_helped_is_asked_once_and_accounted_for(
    server: ModelServer,
    model: OpenAiSummaryModel,
    spending: RecordedSpending,
    fault: dict[str, Any],
    error: type[TraceSummarizationError],
    end: str,
) -> None:
    server.faults.replace([fault])
    with _takes(0.0, 3.0), pytest.raises(error):
        model.answer(request_for(), LONG_ENOUGH_SECONDS, spending)
    assert spending.log == ["reserve", end]


@pytest.mark.parametrize(
    ("fault", "end"), [({"kind": "length"}, "settle"), ({"status": 200, "body": _BODY_WITHOUT_USAGE}, "keep")]
)
def test_an_answer_is_paid_for_whatever_it_is_worth(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending, fault: dict[str, Any], end: str
) -> None:
    server.faults.replace([fault])
    assert model.answer(request_for(), LONG_ENOUGH_SECONDS, spending).content
    assert spending.log == ["reserve", end]


def test_what_is_set_aside_is_what_the_request_can_take(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending
) -> None:
    request = request_for("some-model-of-ours")
    answer = model.answer(request, LONG_ENOUGH_SECONDS, spending)
    [reserved] = spending.reserved
    assert (reserved.model, reserved.service_tier) == ("some-model-of-ours", None)
    assert (reserved.input_tokens, reserved.max_output_tokens) == (request.input_tokens, request.max_output_tokens)
    assert spending.settled == [answer.usage]


def test_without_a_budget_nothing_is_asked(server: ModelServer, model: OpenAiSummaryModel) -> None:
    with pytest.raises(BudgetExhausted):
        model.answer(request_for(), LONG_ENOUGH_SECONDS, RecordedSpending(grants=0))
    assert server.requests()["count"] == 0


def test_a_retry_that_is_not_affordable_ends_as_budget_exhausted_while_nothing_was_paid(
    server: ModelServer, model: OpenAiSummaryModel
) -> None:
    server.faults.replace([{"status": 500, "headers": {"retry-after-ms": "10"}}])
    with pytest.raises(BudgetExhausted):
        model.answer(request_for(), LONG_ENOUGH_SECONDS, RecordedSpending(grants=1))


def test_a_wait_for_the_budget_is_part_of_the_time(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([{"kind": "delay", "seconds": 3}])
    spending = RecordedSpending(wait_seconds=0.6)
    with _takes(0.9, 2.0), pytest.raises(ModelUnavailable, match="no answer within 0 s"):
        model.answer(request_for(), 1.0, spending)
    assert spending.log == ["reserve", "keep"]


def test_a_budget_that_comes_too_late_is_given_back(server: ModelServer, model: OpenAiSummaryModel) -> None:
    spending = RecordedSpending(wait_seconds=0.3)
    with pytest.raises(ModelUnavailable, match="not asked"):
        model.answer(request_for(), 0.2, spending)
    assert spending.log == ["reserve", "release"]
    assert server.requests()["count"] == 0


# --- the flex tier ---------------------------------------------------------------------------------------------------

_NO_FLEX = {"sent": {"service_tier": "flex"}}


def test_flex_is_asked_for_and_reported(
    server: ModelServer, flex_model: OpenAiSummaryModel, spending: RecordedSpending
) -> None:
    assert flex_model.answer(request_for(), LONG_ENOUGH_SECONDS, spending).usage.service_tier == "flex"
    assert [reserved.service_tier for reserved in spending.reserved] == ["flex"]


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        ({"status": 429, "body": {"error": {"code": "resource_unavailable"}}}, "release"),
        ({"status": 503}, "release"),
        ({"status": 498, "body": {"error": {"code": "capacity_exceeded"}}}, "release"),
        ({"kind": "delay", "seconds": 9}, "keep"),
    ],
)  # fmt: skip
def test_flex_without_capacity_falls_back_to_the_standard_tier_at_once(
    server: ModelServer, flex_model: OpenAiSummaryModel, spending: RecordedSpending, fault: dict[str, Any], end: str
) -> None:
    server.faults.replace([{**_NO_FLEX, **fault}])
    with _takes(0.0, 8.0):
        assert flex_model.answer(request_for(), 14.0, spending).usage.service_tier == "default"
    assert spending.log == ["reserve", end, "reserve", "settle"]
    assert [reserved.service_tier for reserved in spending.reserved] == ["flex", None]


def test_flex_is_tried_again_for_the_next_trace(
    server: ModelServer, flex_model: OpenAiSummaryModel, spending: RecordedSpending
) -> None:
    server.faults.replace([{**_NO_FLEX, "times": 1, "status": 429}])
    flex_model.answer(request_for(), LONG_ENOUGH_SECONDS, spending)
    flex_model.answer(request_for(), LONG_ENOUGH_SECONDS, spending)
    assert [reserved.service_tier for reserved in spending.reserved] == ["flex", None, "flex"]


def test_a_standard_tier_that_is_busy_too_is_retried_as_usual(
    server: ModelServer, flex_model: OpenAiSummaryModel, spending: RecordedSpending
) -> None:
    server.faults.replace([{"status": 429, "headers": {"retry-after-ms": "10"}}])
    with pytest.raises(ModelRateLimited):
        flex_model.answer(request_for(), LONG_ENOUGH_SECONDS, spending)
    assert [reserved.service_tier for reserved in spending.reserved] == ["flex", None, None, None]


def test_a_fallback_that_is_not_affordable_after_a_timeout_says_what_was_paid_for(
    server: ModelServer, flex_model: OpenAiSummaryModel
) -> None:
    server.faults.replace([{**_NO_FLEX, "kind": "delay", "seconds": 9}])
    spending = RecordedSpending(grants=1)
    with pytest.raises(ModelUnavailable, match="no answer within 5 s"):
        flex_model.answer(request_for(), 11.0, spending)
    assert spending.log == ["reserve", "keep"]
