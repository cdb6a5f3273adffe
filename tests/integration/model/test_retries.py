"""Waiting and trying again within the time: what is sent, when, and what becomes of the money set aside."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from adapters import secrets
from adapters.model import OpenAiSummaryModel
from adapters.secrets import ModelSecret
from local.model_server import ModelServer
from tests.integration.model.traces import LONG_ENOUGH_SECONDS, ONE_REQUEST_SECONDS, request_for
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
    may_be_billed = status == 502
    assert spending.log == ["reserve", "keep" if may_be_billed else "release", "reserve", "settle"]


_FILTERED_BODY = {"error": {"message": "The response was filtered", "code": "content_filter"}}


@pytest.mark.parametrize(
    ("status", "body", "end"),
    [
        *((status, None, "release") for status in (400, 401, 403, 404, 409, 413, 422, 429, 498, 500, 501, 503, 529)),
        *((status, None, "keep") for status in (408, 502, 504, 520, 524, 527)),
        (400, _FILTERED_BODY, "keep"),
        (400, {"error": {"message": "it triggered Azure OpenAI's content management policy"}}, "keep"),
        (422, _FILTERED_BODY, "keep"),
    ],
)
def test_only_what_the_model_cannot_have_run_for_is_given_back(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending, status: int, body: Any, end: str
) -> None:
    server.faults.replace([{"status": status, "headers": {"Retry-After": "60"}, "body": body}])
    with pytest.raises(TraceSummarizationError):
        model.answer(request_for(), ONE_REQUEST_SECONDS, spending)
    assert spending.log == ["reserve", end]


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


def _answer_with_usage(**usage: int) -> dict[str, Any]:
    return {"status": 200, "body": {**_BODY_WITHOUT_USAGE, "usage": usage}}


@pytest.mark.parametrize(
    ("usage", "output_tokens"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}, 603),  # Gemini's, which thought
        ({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 218}, 198),
        ({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 0}, 198),
        ({"prompt_tokens": 20, "completion_tokens": 198}, 198),
        ({"prompt_tokens": 20, "total_tokens": 623}, 603),
    ],
)
def test_all_that_is_billed_as_output_counts(
    server: ModelServer,
    model: OpenAiSummaryModel,
    spending: RecordedSpending,
    usage: dict[str, int],
    output_tokens: int,
) -> None:
    server.faults.replace([_answer_with_usage(**usage)])
    answer = model.answer(request_for(), LONG_ENOUGH_SECONDS, spending)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (20, output_tokens)
    assert spending.log == ["reserve", "settle"]


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 0, "completion_tokens": 198, "total_tokens": 198},
        {"prompt_tokens": 20, "completion_tokens": 0, "total_tokens": 20},
    ],
)
def test_zeros_are_no_token_counts(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending, usage: dict[str, int]
) -> None:
    server.faults.replace([_answer_with_usage(**usage)])
    assert model.answer(request_for(), LONG_ENOUGH_SECONDS, spending).content
    assert spending.log == ["reserve", "keep"]


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


@pytest.mark.parametrize(("timeout", "wait"), [(170.0, 110.0), (120.0, 60.0), (30.0, 15.0)])
def test_the_budget_is_waited_for_as_long_as_an_answer_still_fits(
    model: OpenAiSummaryModel, spending: RecordedSpending, timeout: float, wait: float
) -> None:
    model.answer(request_for(), timeout, spending)
    assert [reserved.wait_seconds for reserved in spending.reserved] == [pytest.approx(wait, abs=1)]


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


def test_openai_is_asked_for_its_standard_tier_in_so_many_words(
    server: ModelServer, spending: RecordedSpending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_OPENAI_HOST", "127.0.0.1")  # else nobody's host is OpenAI's
    server.faults.replace([{**_NO_FLEX, "times": 1, "status": 429}])
    for tier in (None, "flex"):
        model = OpenAiSummaryModel(ModelSecret(api_key="k", base_url=server.base_url, service_tier=tier))
        model.answer(request_for(), LONG_ENOUGH_SECONDS, spending)
        model.close()
    assert [reserved.service_tier for reserved in spending.reserved] == ["default", "flex", "default"]


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
