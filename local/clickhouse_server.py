"""ClickHouse on one machine: the real engine (chDB) behind ClickHouse's HTTP interface.

`clickhouse-connect` and any other HTTP client work unchanged, from many processes. The interface:
https://clickhouse.com/docs/interfaces/http

Limits, all of them chDB's but the last two:

* One engine per process, and one process per data folder. The folder may change once the engine is closed (`stop`).
* A process that has started an engine must not fork; starting programs is fine.
* Every request has a session of its own, whatever `session_id` says: `SET` and temporary tables end with the request.
* Any user and password are accepted. Answers are not compressed, and are complete before the first byte is sent.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import HTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import chdb

from local.clickhouse_http import RequestHandler
from local.errors import EngineStartError
from local.http_server import BackgroundServer
from local.ports import listen

__all__ = ["ClickHouseServer"]

_IN_MEMORY = ":memory:"
_STOP_TIMEOUT_SECONDS = 10.0  # for queries that still run when the server stops


class ClickHouseServer:
    """An engine and its HTTP server.

    `pause` and `resume` make it unreachable for a while; its data and its port stay. `stop` closes the engine as well,
    which ends a database in memory; `start` then opens it again on the same port.

    Args:
        data_dir: made if missing; None keeps everything in memory.
        port: 0 takes a free one at the first start; later starts keep it.
        host: address to listen on.
    """

    _owner: ClassVar[ClickHouseServer | None] = None  # the server that has this process's engine
    _owner_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, data_dir: Path | None, port: int = 0, host: str = "127.0.0.1") -> None:
        self._path = _IN_MEMORY if data_dir is None else str(data_dir.absolute())
        self._port = port
        self._host = host
        self._engine: Any = None  # a session that keeps the engine open between requests
        self._sessions = _Sessions(self._path)
        self._http_server: _HttpServer | None = None

    @property
    def port(self) -> int:
        """Port that it listens on; before the first start the one asked for."""
        return self._port

    @property
    def url(self) -> str:
        """`http://host:port`, for clients."""
        return f"http://{self._host}:{self._port}"

    def start(self) -> None:
        """Open the engine and listen.

        Raises:
            EngineStartError: this process has another engine, or another process has this data folder.
            PortInUseError: something listens on the port.
        """
        listener = listen(self._host, self._port)
        try:
            self._open_engine()
        except BaseException:
            listener.close()
            raise
        self._serve(listener)

    def pause(self) -> None:
        """Close the port and all connections, but keep the engine and its data. To clients the server is down."""
        if self._http_server is not None:
            self._http_server.close()
            self._http_server = None

    def resume(self) -> None:
        """Listen again after `pause`, on the same port."""
        if self._engine is None:
            raise RuntimeError("the ClickHouse server was not started, or was stopped: call start, not resume")
        if self._http_server is None:
            self._serve(listen(self._host, self._port))

    def stop(self) -> None:
        """Close the port, all connections and the engine; queries that run are cancelled. Can be called twice.

        Raises:
            TimeoutError: a query did not end within 10 s; the engine stays open, as closing it would crash the process.
        """
        self.pause()
        with ClickHouseServer._owner_lock:
            if self._engine is not None:
                self._engine.query("KILL QUERY WHERE query_id != queryID() ASYNC")
                self._sessions.wait_until_none(_STOP_TIMEOUT_SECONDS)
                self._engine.close()
                self._engine = None
                ClickHouseServer._owner = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _open_engine(self) -> None:
        with ClickHouseServer._owner_lock:
            owner = ClickHouseServer._owner
            if owner is not None:
                raise EngineStartError(
                    f"this process has a ClickHouse engine already ({owner._path}, port {owner.port}); chDB allows one"
                )
            if self._path != _IN_MEMORY:
                Path(self._path).mkdir(parents=True, exist_ok=True)
            try:
                self._engine = chdb.connect(self._path)
            except RuntimeError as error:
                raise EngineStartError(
                    f"cannot open the ClickHouse data folder {self._path}; does another process use it? {error}"
                ) from error
            ClickHouseServer._owner = self

    def _serve(self, listener: socket.socket) -> None:
        self._port = listener.getsockname()[1]
        self._http_server = _HttpServer(listener, self._sessions)


class _Sessions:
    """The sessions of the requests that run."""

    def __init__(self, engine_path: str) -> None:
        self._engine_path = engine_path
        self._changed = threading.Condition()
        self._count = 0

    @contextlib.contextmanager
    def session(self) -> Iterator[Any]:
        """Open a session for one request: it costs 0.3 ms, and no setting can leak from one request to the next."""
        with self._changed:
            self._count += 1
        try:
            session = chdb.connect(self._engine_path)
            try:
                yield session
            finally:
                session.close()
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def wait_until_none(self, timeout_seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._count == 0, timeout_seconds):
                raise TimeoutError(f"{self._count} ClickHouse queries still run {timeout_seconds:g} s after cancelling")


class _HttpServer(BackgroundServer, HTTPServer):
    """Where request handlers find the engine."""

    def __init__(self, listener: socket.socket, sessions: _Sessions) -> None:
        super().__init__(listener.getsockname(), RequestHandler, bind_and_activate=False)
        self.session = sessions.session
        self.serve_in_background(listener, "clickhouse-http")
