"""ClickHouse's and the driver's errors by type.

What ClickHouse says of an error can quote a row, and what the driver says the URL with the query's parameters. So
nothing of either text is passed on: only the code, its name from the table below, and what we were doing.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from clickhouse_connect.driver.exceptions import ClickHouseError, Error
from urllib3.exceptions import HTTPError, ReadTimeoutError

from trace_summarization.errors import (
    ClickHouseAtCapacity,
    ClickHouseQueryFailed,
    ClickHouseTimeout,
    ClickHouseUnavailable,
    InvalidConfiguration,
    TraceSummarizationError,
)

# Names and codes: ClickHouse, src/Common/ErrorCodes.cpp.
_NAMED_CODES: dict[type[TraceSummarizationError], dict[int, str]] = {
    # Its own network, its coordination service, a replica or a server that is going down: another attempt can help.
    ClickHouseUnavailable: {
        209: "SOCKET_TIMEOUT",
        210: "NETWORK_ERROR",
        225: "NO_ZOOKEEPER",
        236: "ABORTED",
        242: "TABLE_IS_READ_ONLY",
        279: "ALL_CONNECTION_TRIES_FAILED",
        319: "UNKNOWN_STATUS_OF_INSERT",
        999: "KEEPER_EXCEPTION",
    },
    ClickHouseTimeout: {159: "TIMEOUT_EXCEEDED", 160: "TOO_SLOW"},
    # TOO_MANY_PARTS belongs here: merges lag behind the inserts, and each further insert makes one more part.
    ClickHouseAtCapacity: {
        202: "TOO_MANY_SIMULTANEOUS_QUERIES",
        203: "NO_FREE_CONNECTION",
        252: "TOO_MANY_PARTS",
        439: "CANNOT_SCHEDULE_TASK",
        745: "SERVER_OVERLOADED",
    },
    InvalidConfiguration: {
        192: "UNKNOWN_USER",
        193: "WRONG_PASSWORD",
        194: "REQUIRED_PASSWORD",
        516: "AUTHENTICATION_FAILED",
    },
    ClickHouseQueryFailed: {
        16: "NO_SUCH_COLUMN_IN_TABLE",
        36: "BAD_ARGUMENTS",
        46: "UNKNOWN_FUNCTION",
        47: "UNKNOWN_IDENTIFIER",
        50: "UNKNOWN_TYPE",
        53: "TYPE_MISMATCH",
        60: "UNKNOWN_TABLE",
        62: "SYNTAX_ERROR",
        81: "UNKNOWN_DATABASE",
        115: "UNKNOWN_SETTING",
        164: "READONLY",
        241: "MEMORY_LIMIT_EXCEEDED",
        243: "NOT_ENOUGH_SPACE",
        394: "QUERY_WAS_CANCELLED",
        497: "ACCESS_DENIED",
    },
}
_BY_CODE = {code: (kind, name) for kind, names in _NAMED_CODES.items() for code, name in names.items()}

# An answer without a ClickHouse code comes from something between: a load balancer, a proxy, a gateway.
_BY_STATUS: dict[int, type[TraceSummarizationError]] = {
    401: InvalidConfiguration,
    403: InvalidConfiguration,
    408: ClickHouseTimeout,
    429: ClickHouseAtCapacity,
    502: ClickHouseUnavailable,
    503: ClickHouseUnavailable,
    504: ClickHouseTimeout,
}

_CODE = re.compile(r"\bcode: (\d+)", re.IGNORECASE)
_STATUS = re.compile(r"\bHTTP status (\d{3})\b")


@contextmanager
def typed_errors(doing: str) -> Iterator[None]:
    """Raise what the driver raises within the block as one of our types. `doing` completes "... while doing"."""
    try:
        yield
    except (ClickHouseError, HTTPError, HTTPException, OSError) as error:
        # No chain: a traceback would print the texts that are withheld here.
        raise typed_error(error, doing) from None


def typed_error(error: Exception, doing: str) -> TraceSummarizationError:
    """Our error for one of the driver's, of its HTTP library or of the socket."""
    code = _code(error)
    if code is not None:
        kind, name = _BY_CODE.get(code, (ClickHouseQueryFailed, ""))
        return kind(f"ClickHouse error {code}{f' ({name})' if name else ''} while {doing}")
    if found := _STATUS.search(str(error)):
        status = int(found[1])
        return _BY_STATUS.get(status, ClickHouseQueryFailed)(f"HTTP status {status} while {doing}")
    transport = _transport_error(error)
    if isinstance(transport, ReadTimeoutError | TimeoutError):
        return ClickHouseTimeout(f"no answer in time while {doing}")
    if transport is not None or type(error).__name__ == "StreamFailureError":
        return ClickHouseUnavailable(f"no connection while {doing} ({type(transport or error).__name__})")
    return ClickHouseQueryFailed(f"the driver refused ({type(error).__name__}) while {doing}")


def _code(error: Exception) -> int | None:
    if isinstance(error, Error) and error.code is not None:
        return int(error.code)
    found = _CODE.search(str(error)) if isinstance(error, Error) else None
    return int(found[1]) if found else None


def _transport_error(error: BaseException) -> BaseException | None:
    """The HTTP or socket error that the driver's error stems from: the innermost of urllib3's, which says most."""
    found: BaseException | None = None
    while True:
        if isinstance(error, HTTPError | HTTPException | OSError):
            found = error
        # urllib3 keeps what made it give up in `reason`; the driver chains what it caught.
        inner = getattr(error, "reason", None)
        following = inner if isinstance(inner, BaseException) else error.__cause__
        if following is None:
            return found
        error = following
