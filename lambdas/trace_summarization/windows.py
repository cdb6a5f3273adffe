"""Which span of time a run covers. Time comes in with the input; no clock is read here."""

from datetime import datetime, timedelta
from typing import Protocol

from trace_summarization.errors import InvalidInput
from trace_summarization.models import Window
from trace_summarization.timestamps import format_rfc3339

_EARLIEST = datetime.fromisoformat("1970-01-02T00:00:00+00:00")  # ClickHouse's DateTime begins one day earlier


class WindowInputs(Protocol):
    """The inputs that decide the window."""

    @property
    def window_minutes(self) -> int:
        """Length in minutes."""

    @property
    def window_lag_minutes(self) -> int:
        """How many minutes before now the window ends."""

    @property
    def window_start(self) -> datetime | None:
        """Explicit start; overrides minutes and lag."""

    @property
    def window_end(self) -> datetime | None:
        """Explicit end; overrides minutes and lag."""

    @property
    def scheduled_time(self) -> datetime | None:
        """The schedule's own time: the run's now."""


def resolve_window(inputs: WindowInputs, execution_start: datetime) -> Window:
    """The run's window: as given, else `window_minutes` ending `window_lag_minutes` before the run's now.

    Now is the schedule's time when there is one, else the execution's start: a retry sees the same window.
    Raises InvalidInput when only one end is given, when start >= end, or when the window ends in the future.
    """
    start, end = inputs.window_start, inputs.window_end
    if (start is None) != (end is None):
        given, missing = ("window_start", "window_end") if end is None else ("window_end", "window_start")
        raise InvalidInput(f"{missing}: required when {given} is given; give both or neither")
    if start is None or end is None:
        now = inputs.scheduled_time or execution_start
        try:
            end = now - timedelta(minutes=inputs.window_lag_minutes)
            start = end - timedelta(minutes=inputs.window_minutes)
        except OverflowError as error:
            raise InvalidInput(f"scheduled_time: {format_rfc3339(now)} leaves no room for a window") from error
    elif start >= end:
        raise InvalidInput(
            f"window_start: {format_rfc3339(start)} is not before window_end {format_rfc3339(end)}; it must be earlier"
        )
    if end > execution_start:
        field = "window_end" if inputs.window_end else "scheduled_time"
        raise InvalidInput(
            f"{field}: the window would end at {format_rfc3339(end)}, in the future; "
            f"allowed is at latest the execution's start, {format_rfc3339(execution_start)}"
        )
    if start < _EARLIEST:
        field = "window_start" if inputs.window_start else "scheduled_time"
        raise InvalidInput(
            f"{field}: the window would start at {format_rfc3339(start)}; "
            f"allowed is from {format_rfc3339(_EARLIEST)} on"
        )
    return Window(start, end)
