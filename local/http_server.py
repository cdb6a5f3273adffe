"""What the local HTTP servers share: they run in a thread, and go down at once."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

__all__ = ["BackgroundServer"]

_POLL_SECONDS = 0.05  # how long `close` may take


class BackgroundServer(ThreadingMixIn, TCPServer):
    """Mixin for an HTTP server with one thread per connection, which breaks all its connections when it closes.

    The standard server closes its listening socket only: a client with a kept connection would still be answered.
    """

    daemon_threads = True

    def serve_in_background(self, listener: socket.socket, name: str) -> None:
        """Take over a listening socket and answer until `close`."""
        self.socket.close()  # the one that the base class made
        self.socket = listener
        self.server_address = listener.getsockname()
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and break all connections, also those with a request under way."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):  # the client closed it before
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection."""
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what a handler did not expect; that a client went away, or the server closed, is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
