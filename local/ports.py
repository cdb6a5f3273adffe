"""Listening sockets of the local servers."""

from __future__ import annotations

import errno
import socket

__all__ = ["PortInUseError", "listen"]


class PortInUseError(OSError):
    """Raised on start when another process, or another server of this one, listens on the wanted port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            errno.EADDRINUSE,
            f"port {port} on {host} is in use: stop what listens there, or choose another port (0 takes any free one)",
        )
        self.host = host
        self.port = port


def listen(host: str, port: int, backlog: int = 128) -> socket.socket:
    """Open a listening TCP socket; port 0 takes any free port.

    Raises:
        PortInUseError: something else listens there.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Without it, connections that the last server on this port closed would keep the port for a minute.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port) from error
        raise
    return listener
