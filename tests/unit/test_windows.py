"""Window arithmetic: lag, retry, backfill, and what is no window."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_summarization.errors import InvalidInput
from trace_summarization.inputs import parse_inputs
from trace_summarization.models import BatchTraceSummarizationCoordinatorInputs, Window
from trace_summarization.windows import resolve_window

START = datetime(2025, 1, 15, 12, 0, 7, tzinfo=UTC)


def window(execution_start: datetime = START, /, **given: object) -> Window:
    return resolve_window(parse_inputs(BatchTraceSummarizationCoordinatorInputs, given), execution_start)


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2025, 1, 15, hour, minute, second, tzinfo=UTC)


def test_a_manual_run_ends_the_lag_before_its_start() -> None:
    assert window() == Window(at(10, 50, 7), at(11, 50, 7))


def test_the_schedules_time_decides_and_not_the_start() -> None:
    assert window(scheduled_time="2025-01-15T12:00:00Z") == Window(at(10, 50), at(11, 50))


def test_a_retried_run_sees_the_same_window() -> None:
    scheduled = {"scheduled_time": "2025-01-15T12:00:00Z"}
    assert window(START + timedelta(minutes=45), **scheduled) == window(START, **scheduled)


def test_explicit_ends_override_minutes_lag_and_schedule() -> None:
    given = {
        "window_start": "2025-01-14T00:00:00Z",
        "window_end": "2025-01-15T00:00:00+01:00",
        "window_minutes": 5,
        "window_lag_minutes": 30,
        "scheduled_time": "2025-01-15T12:00:00Z",
    }
    assert window(**given) == Window(datetime(2025, 1, 14, tzinfo=UTC), datetime(2025, 1, 14, 23, tzinfo=UTC))


@given(
    minutes=st.integers(1, 1_440),
    lag=st.integers(0, 1_440),
    first=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
def test_consecutive_scheduled_windows_neither_miss_nor_repeat_a_second(
    minutes: int, lag: int, first: datetime
) -> None:
    settings = {"window_minutes": minutes, "window_lag_minutes": lag}
    late = datetime(2200, 1, 1, tzinfo=UTC)
    one = window(late, scheduled_time=first.isoformat(), **settings)
    two = window(late, scheduled_time=(first + timedelta(minutes=minutes)).isoformat(), **settings)
    assert one.end == two.start
    assert one.end - one.start == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"window_start": "2025-01-15T10:00:00Z"}, "window_end: required when window_start is given"),
        ({"window_end": "2025-01-15T10:00:00Z"}, "window_start: required when window_end is given"),
        (
            {"window_start": "2025-01-15T10:00:00Z", "window_end": "2025-01-15T10:00:00Z"},
            "window_start: 2025-01-15T10:00:00Z is not before window_end",
        ),
        (
            {"window_start": "2025-01-15T10:00:00.9Z", "window_end": "2025-01-15T10:00:00.99Z"},
            "window_start: 2025-01-15T10:00:00Z is not before window_end",
        ),
        (
            {"window_start": "2025-01-15T11:00:00Z", "window_end": "2025-01-15T12:00:08Z"},
            "window_end: the window would end at 2025-01-15T12:00:08Z, in the future; "
            "allowed is at latest the execution's start, 2025-01-15T12:00:07Z",
        ),
        ({"scheduled_time": "2025-01-15T13:00:00Z"}, "scheduled_time: the window would end at 2025-01-15T12:50:00Z"),
        ({"scheduled_time": "0001-01-01T00:00:00Z"}, "scheduled_time: 0001-01-01T00:00:00Z leaves no room"),
        ({"scheduled_time": "1950-01-01T00:00:00Z"}, "scheduled_time: the window would start at 1949-12-31T22:50:00Z"),
    ],
)
def test_what_is_no_window(given: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{message}"):
        window(**given)


def test_a_window_may_end_with_the_execution_s_start() -> None:
    assert window(window_lag_minutes=0).end == START
