"""A server for one request, of which every byte is kept."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recording_socket(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that keeps the first request it gets, byte by byte."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                data = connection.recv(65_536)
                while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < _length(data):
                    data += connection.recv(65_536)
                received.append(data)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", received
        thread.join(5)


def _length(data: bytes) -> int:
    head = data.partition(b"\r\n\r\n")[0].lower()
    return int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
