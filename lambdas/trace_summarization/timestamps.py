"""Times as people and payloads write them: RFC 3339 in, UTC in whole seconds out."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

# RFC 3339, section 5.6; `datetime.fromisoformat` alone would also take dates, week dates and times without offset.
_RFC_3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)


def parse_rfc3339(text: str) -> datetime:
    """UTC time of an RFC 3339 text with offset, cut to whole seconds. Raises ValueError."""
    return parse_microseconds(text).replace(microsecond=0)


def parse_microseconds(text: str) -> datetime:
    """UTC time of an RFC 3339 text with offset, cut to microseconds. Raises ValueError."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError("is not an RFC 3339 time with offset, such as 2025-01-15T12:00:00Z")
    day, time, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{'+00:00' if offset in 'Zz' else offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not an RFC 3339 time: {error}") from error
    return moment.replace(microsecond=int(f"{fraction or '':0<6.6}"))


def format_rfc3339(moment: datetime) -> str:
    """`2025-01-15T12:00:00Z`: UTC, whole seconds."""
    return _isoformat(moment, "seconds")


def format_microseconds(moment: datetime) -> str:
    """`2025-01-15T12:00:00.123456Z`: UTC, microseconds."""
    return _isoformat(moment, "microseconds")


def _isoformat(moment: datetime, timespec: str) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def _validated(value: Any) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("has no time zone")
        return value.astimezone(UTC).replace(microsecond=0)
    if not isinstance(value, str):
        raise ValueError("is not a string holding an RFC 3339 time with offset")  # noqa: TRY004 - pydantic wants it
    return parse_rfc3339(value)


UtcSeconds = Annotated[datetime, BeforeValidator(_validated), PlainSerializer(format_rfc3339, when_used="json")]
