"""Reads files of events: one JSON object a line, checked, each fault told by file and line."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Annotated, Any, Final, NoReturn, cast
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from trace_summarization.models import TeamId
from trace_summarization.timestamps import parse_rfc3339

MAX_LINE_BYTES: Final = 128 * 1024 * 1024

_GZIP_MAGIC: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SHOWN_VALUE_LENGTH: Final = 60
# What ClickHouse's DateTime64 holds.
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2299, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_FRACTION: Final = re.compile(r"\.(\d{1,6})")


@dataclass(frozen=True)
class RejectedLine:
    """A line that is no event, and why. Lines count from 1."""

    file: Path
    line: int
    reason: str


@dataclass(frozen=True)
class EventLine:
    """An event as it is inserted. `properties` is JSON text; `trace_id` is None when they name none."""

    uuid: UUID
    event: str
    distinct_id: str
    team_id: int
    timestamp: datetime
    properties: str
    trace_id: str | None


@dataclass(frozen=True)
class Changes:
    """What is changed in every event on the way in."""

    team_id: int | None = None
    """Replaces the event's own."""
    offset: timedelta = timedelta(0)
    """Added to the timestamp."""


def read_events(paths: Sequence[Path], changes: Changes) -> Iterator[EventLine | RejectedLine]:
    """The files' lines in order. Blank lines are passed over."""
    for path in paths:
        number = 0
        try:
            with _opened(path) as file:
                while line := file.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    if number == 1:
                        line = line.removeprefix(_BYTE_ORDER_MARK)
                    if len(line) > MAX_LINE_BYTES:
                        _skip_rest(file, line)
                        yield RejectedLine(path, number, f"longer than {MAX_LINE_BYTES} bytes")
                    elif line.strip():
                        yield _event_or_rejection(path, number, line, changes)
        except (EOFError, OSError, zlib.error) as error:
            yield RejectedLine(path, number + 1, f"the file is not readable from here on: {error}")


class _NotAnEventError(ValueError):
    """The line's fault, as it is told."""


def _storable(value: Any) -> Any:
    if isinstance(value, str) and not _encodable(value):
        raise ValueError("holds half a surrogate pair, which UTF-8 cannot")
    return value


class _Event(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    uuid: Annotated[UUID, BeforeValidator(lambda value: UUID(value) if isinstance(value, str) else value)]
    event: Annotated[str, Field(min_length=1), BeforeValidator(_storable)]
    distinct_id: Annotated[str, BeforeValidator(_storable)]
    team_id: TeamId
    timestamp: Annotated[datetime, BeforeValidator(lambda value: _timestamp(value))]
    properties: dict[str, Any]


def _event_or_rejection(path: Path, number: int, line: bytes, changes: Changes) -> EventLine | RejectedLine:
    try:
        return _event(line, changes)
    except _NotAnEventError as error:
        return RejectedLine(path, number, str(error))
    except RecursionError:
        return RejectedLine(path, number, "JSON that is nested too deeply")


def _event(line: bytes, changes: Changes) -> EventLine:
    value = _json(line)
    if not isinstance(value, dict):
        raise _NotAnEventError(f"not a JSON object: {_shown(value)}")
    if changes.team_id is not None:
        value["team_id"] = changes.team_id
    try:
        event = _Event.model_validate(value)
    except ValidationError as error:
        raise _NotAnEventError("; ".join(map(_described, error.errors()))) from error
    return EventLine(
        uuid=event.uuid,
        event=event.event,
        distinct_id=event.distinct_id,
        team_id=event.team_id,
        timestamp=_shifted(event.timestamp, changes.offset),
        properties=_properties_text(event.properties),
        trace_id=_trace_id(event.properties.get("$ai_trace_id")),
    )


def _json(line: bytes) -> Any:
    try:
        return json.loads(line.decode().rstrip(), parse_constant=_refuse_constant)
    except _NotAnEventError:
        raise
    except UnicodeDecodeError as error:
        raise _NotAnEventError(f"not UTF-8: byte {error.start + 1} of the line") from error
    except json.JSONDecodeError as error:
        raise _NotAnEventError(f"not JSON: {error.msg}, column {error.colno}") from error
    except ValueError as error:  # of int(), which Python limits
        raise _NotAnEventError("JSON with an integer of thousands of digits") from error


def _refuse_constant(name: str) -> NoReturn:
    raise _NotAnEventError(f"not JSON: {name} is no JSON value")


def _properties_text(properties: dict[str, Any]) -> str:
    try:
        text = json.dumps(properties, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise _NotAnEventError("properties: hold a number beyond what a double holds, such as 1e400") from error
    # Half a surrogate pair is no UTF-8, but can stay the escape that it was.
    return text if _encodable(text) else json.dumps(properties, separators=(",", ":"))


def _trace_id(value: Any) -> str | None:
    """The id that the schema's view finds: a string that is not empty, or a number's digits."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    return text if text and _encodable(text) else None


def _timestamp(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("is not a string holding an RFC 3339 time with offset")  # noqa: TRY004 - pydantic wants it
    fraction = _FRACTION.search(value)
    moment = parse_rfc3339(value).replace(microsecond=int(fraction[1].ljust(6, "0")) if fraction else 0)
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError("is outside the years 1900 to 2299 that ClickHouse holds")
    return moment


def _shifted(moment: datetime, offset: timedelta) -> datetime:
    try:
        shifted = moment + offset
    except OverflowError:
        shifted = None
    if shifted is None or not _EARLIEST <= shifted <= _LATEST:
        raise _NotAnEventError(f"timestamp: {moment.isoformat()} would be shifted out of the years 1900 to 2299")
    return shifted


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _described(error: ErrorDetails) -> str:
    name = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ")
    return f"{name}: missing" if error["type"] == "missing" else f"{name}: {_shown(error['input'])}: {message}"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_VALUE_LENGTH else f"{text[:_SHOWN_VALUE_LENGTH]}..."


def _opened(path: Path) -> AbstractContextManager[IO[bytes]]:
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP_MAGIC
    return cast("IO[bytes]", gzip.open(path)) if zipped else path.open("rb")


def _skip_rest(file: IO[bytes], line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(1024 * 1024)
