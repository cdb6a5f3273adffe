"""ClickHouse's HTTP interface: from a request to a query of the engine, and from its result or error to a response."""

from __future__ import annotations

import gzip
import json
import re
import time
import zlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import lz4.frame
from backports import zstd

__all__ = ["EngineSessions", "RequestHandler"]

_MAX_URL_BYTES = 1024 * 1024  # ClickHouse's http_max_uri_size

# Arguments of a request that are not settings of its query.
_TRANSPORT_ARGUMENTS = frozenset(
    {
        "buffer_size",
        "client_protocol_version",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "password",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "user",
        "wait_end_of_query",
    }
)

_BAD_ARGUMENTS = 36
_NOT_IMPLEMENTED = 48
# ClickHouse's own table: src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; any other code is a 500.
_STATUS_BY_CODE: dict[int, HTTPStatus] = {
    **dict.fromkeys(
        # BAD_ARGUMENTS, SYNTAX_ERROR, TYPE_MISMATCH, and what cannot be parsed
        (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
        HTTPStatus.BAD_REQUEST,
    ),
    # UNKNOWN_... FUNCTION, IDENTIFIER, TYPE, STORAGE, TABLE, FORMAT, DATABASE, SETTING, and others
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), HTTPStatus.NOT_FOUND),
    48: HTTPStatus.NOT_IMPLEMENTED,
    76: HTTPStatus.SERVICE_UNAVAILABLE,  # CANNOT_OPEN_FILE
    159: HTTPStatus.REQUEST_TIMEOUT,  # TIMEOUT_EXCEEDED
    209: HTTPStatus.SERVICE_UNAVAILABLE,  # SOCKET_TIMEOUT
    229: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,  # QUERY_IS_TOO_LARGE
    439: HTTPStatus.SERVICE_UNAVAILABLE,  # CANNOT_SCHEDULE_TASK
    497: HTTPStatus.FORBIDDEN,  # ACCESS_DENIED
}

_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ENGINE_ERROR = re.compile(r"Code: (\d+)\..*", re.DOTALL)
_RETURNS_ROWS = re.compile(rb"\s*(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK|VALUES|FROM|\()", re.IGNORECASE)
_FORMAT_CLAUSE = re.compile(rb"\bFORMAT\s+(\w+)(?:\s+SETTINGS\s[^;]*)?[\s;]*\Z", re.IGNORECASE)
_QUOTED_NAME = rb"""`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*\""""
_INSERT_DATA = re.compile(
    rb"\s*(INSERT\s+INTO\s+(?:TABLE\s+)?(?:%(quoted)s|\w+)(?:\s*\.\s*(?:%(quoted)s|\w+))?"
    rb"\s*(?:\((?:[^()`\"]|%(quoted)s)*\))?\s*(?:SETTINGS\s[^;]*?)?)"
    rb"\s*\bFORMAT\s+(\w+)[ \t]*\r?\n?" % {b"quoted": _QUOTED_NAME},
    re.IGNORECASE | re.DOTALL,
)


class EngineSessions(Protocol):
    """Where a handler gets sessions of the engine: its HTTP server."""

    def session(self) -> AbstractContextManager[Any]:
        """Open a session of its own for one request."""
        ...


class RequestHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a small answer takes 40 ms otherwise
    wbufsize = 64 * 1024
    server: Any  # a BaseServer that is EngineSessions

    def do_GET(self) -> None:
        """Answer a query that must not change anything, or say that the server is up."""
        arguments = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if "query" in arguments:
            self._answer(arguments, readonly=True)
        else:  # what `/ping` and `/` say
            self._send(HTTPStatus.OK, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})

    def do_POST(self) -> None:
        """Answer a query; its text is the argument `query`, followed by the body."""
        self._answer(dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True)), readonly=False)

    def handle_one_request(self) -> None:
        """Do what the base class does, but for URLs as long as ClickHouse takes: the base class stops at 64 KiB."""
        self.raw_requestline = self.rfile.readline(_MAX_URL_BYTES + 1)
        if not self.raw_requestline:
            self.close_connection = True
            return
        if len(self.raw_requestline) > _MAX_URL_BYTES:
            self.requestline = self.request_version = self.command = ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            return
        if self.parse_request():
            answer = {"GET": self.do_GET, "POST": self.do_POST}.get(self.command)
            if answer is None:
                self.send_error(HTTPStatus.NOT_IMPLEMENTED, f"Unsupported method {self.command}")
            else:
                answer()
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: clients get every error."""

    def _answer(self, arguments: dict[str, str], *, readonly: bool) -> None:
        sessions: EngineSessions = self.server
        try:
            query = self._read_query(arguments, readonly=readonly)
            with sessions.session() as session:
                result = _execute(session, query)
        except _QueryError as error:
            self._send_error(error.code, str(error))
            return
        except RuntimeError as error:
            code, message = _engine_error(error)
            self._send_error(code, message)
            return
        headers = {
            "Content-Type": "text/tab-separated-values; charset=UTF-8",
            "X-ClickHouse-Summary": json.dumps(result.summary),
            "X-ClickHouse-Query-Id": query.query_id,
            "X-ClickHouse-Timezone": "UTC",
        }
        if result.format is not None:
            headers["X-ClickHouse-Format"] = result.format
        self._send(HTTPStatus.OK, result.body, headers)

    def _read_query(self, arguments: dict[str, str], *, readonly: bool) -> _Query:
        body = self._read_body()
        content_type = self.headers.get("Content-Type", "")
        if content_type.startswith("multipart/form-data"):
            arguments |= _form_values(content_type, body)
            body = b""
        for name in ("compress", "decompress"):
            if arguments.get(name, "0") != "0":
                raise _QueryError(_NOT_IMPLEMENTED, f"{name}=1 (ClickHouse's own block compression) is not supported")
        settings = {
            name: value
            for name, value in arguments.items()
            if name not in _TRANSPORT_ARGUMENTS and not name.startswith("param_")
        }
        if readonly:
            settings["readonly"] = "2"
        return _Query(
            text=b"\n".join(part for part in (arguments.get("query", "").encode(), body) if part),
            database=arguments.get("database") or self.headers.get("X-ClickHouse-Database") or "",
            default_format=arguments.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated",
            query_id=arguments.get("query_id", ""),
            settings=settings,
            parameters={
                name.removeprefix("param_"): value for name, value in arguments.items() if name.startswith("param_")
            },
        )

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(self._read_chunks())
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return _decompress(body, self.headers.get("Content-Encoding", ""))

    def _read_chunks(self) -> list[bytes]:
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return chunks

    def _send_error(self, code: int, message: str) -> None:
        status = _STATUS_BY_CODE.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
        headers = {"Content-Type": "text/plain; charset=UTF-8", "X-ClickHouse-Exception-Code": str(code)}
        self._send(status, f"{message.rstrip()}\n".encode(), headers)

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@dataclass(frozen=True)
class _Query:
    text: bytes
    database: str
    default_format: str
    query_id: str
    settings: dict[str, str]
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Result:
    body: bytes
    format: str | None  # None when the statement returns no rows by nature
    summary: dict[str, str]


class _QueryError(Exception):
    """A request that never reaches the engine."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}.")
        self.code = code


def _execute(session: Any, query: _Query) -> _Result:
    """Run a query in a session of its own. Errors of the engine are RuntimeErrors."""
    started = time.monotonic_ns()
    if query.settings:
        session.query("SET " + ", ".join(f"{_name(key)} = {_quoted(value)}" for key, value in query.settings.items()))
    if query.database:
        session.query("USE `" + query.database.replace("\\", "\\\\").replace("`", "\\`") + "`")
    insert = _INSERT_DATA.match(query.text)
    if insert:
        written = _insert(session, _text(insert[1]), insert[2].decode(), query.text[insert.end() :])
        return _Result(
            b"", None, _summary(started, written_rows=written.rows_written, written_bytes=written.bytes_written)
        )
    result = session.query(_text(query.text), query.default_format, params=query.parameters)
    format_clause = _FORMAT_CLAUSE.search(query.text)
    output_format = format_clause[1].decode() if format_clause else query.default_format
    return _Result(
        result.bytes() or b"",
        output_format if _RETURNS_ROWS.match(query.text) else None,
        _summary(
            started,
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            result_bytes=result.bytes_read(),
        ),
    )


def _insert(session: Any, statement: str, data_format: str, data: bytes) -> Any:
    with session.send_insert(statement, data_format) as inserter:
        if data:
            inserter.append(data)
        return inserter.finish()


def _summary(started_ns: int, **counts: int) -> dict[str, str]:
    return {
        **{name: str(count) for name, count in counts.items()},
        "total_rows_to_read": "0",
        "elapsed_ns": str(time.monotonic_ns() - started_ns),
    }


def _engine_error(error: RuntimeError) -> tuple[int, str]:
    found = _ENGINE_ERROR.search(str(error))
    if found is None:  # not a message of ClickHouse: 1002 is its UNKNOWN_EXCEPTION
        return 1002, f"Code: 1002. DB::Exception: {error}. (UNKNOWN_EXCEPTION)"
    return int(found[1]), found[0]


def _decompress(body: bytes, encoding: str) -> bytes:
    try:
        match encoding:
            case "" | "identity":
                return body
            case "gzip" | "x-gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
            case "lz4":
                return _all_lz4_frames(body)
            case "zstd":
                return zstd.decompress(body)
    except (OSError, EOFError, zlib.error, RuntimeError, zstd.ZstdError) as error:
        raise _QueryError(_BAD_ARGUMENTS, f"the request's body is not valid {encoding}: {error}") from error
    raise _QueryError(_NOT_IMPLEMENTED, f"Content-Encoding {encoding!r}: expected gzip, deflate, lz4 or zstd")


def _all_lz4_frames(body: bytes) -> bytes:
    """Clients send one frame per block, one after the other; `lz4.frame.decompress` would read the first alone."""
    plain = bytearray()
    while body:
        frame = lz4.frame.LZ4FrameDecompressor()
        plain += frame.decompress(body)
        if not frame.eof:
            raise EOFError("the last lz4 frame is cut off")
        body = frame.unused_data or b""
    return bytes(plain)


def _form_values(content_type: str, body: bytes) -> dict[str, str]:
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    values = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            raise _QueryError(_NOT_IMPLEMENTED, f"external data {name!r} is not supported")
        value = part.get_payload(decode=True)
        if not isinstance(value, bytes):
            raise _QueryError(_BAD_ARGUMENTS, f"form field {name!r}: expected a value, got parts")
        values[str(name)] = value.decode()
    return values


def _text(statement: bytes) -> str:
    try:
        return statement.decode()
    except UnicodeDecodeError as error:
        raise _QueryError(_BAD_ARGUMENTS, f"the query is not UTF-8: {error}") from error


def _name(setting: str) -> str:
    if not _SETTING_NAME.fullmatch(setting):
        raise _QueryError(_BAD_ARGUMENTS, f"{setting!r} is not the name of a setting")
    return setting


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
