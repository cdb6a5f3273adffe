"""The offline model server as a child process: it stands for a remote service, so it shares no interpreter with us."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from local.child_process import start_child, stop_child
from local.errors import ModelServerStartError
from local.stack_info import PROJECT_ROOT

_START_TIMEOUT_SECONDS = 20.0
_POLL_SECONDS = 0.02
_STOP_GRACE_SECONDS = 2.0


class ModelProcess:
    """`local.model_server` in a process of its own.

    Args:
        port: 0 chooses a free one.
        request_log: file that gets one JSON line per request; its folder gets the server's own output.
        latency_seconds: how long every chat answer takes at least.
        embedding_dimensions: models that are served with vectors by chance, and how many numbers these have.
    """

    def __init__(
        self,
        port: int,
        request_log: Path,
        latency_seconds: float = 0.0,
        embedding_dimensions: Mapping[str, int] | None = None,
    ) -> None:
        self._port = port
        self._request_log = request_log
        self._latency_seconds = latency_seconds
        self._embedding_dimensions = embedding_dimensions or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where OpenAI clients find it; complete once started."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        """Start it and return when it listens. Raises ModelServerStartError with its own words when it does not."""
        output_path = self._request_log.with_name("model_server.log")
        command = [sys.executable, "-m", "local.model_server", "--port", str(self._port)]
        command += ["--latency-seconds", str(self._latency_seconds), "--log", str(self._request_log)]
        for name, dimensions in self._embedding_dimensions.items():
            command += ["--embedding-dimensions", f"{name}={dimensions}"]
        environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": f"{PROJECT_ROOT / 'lambdas'}:{PROJECT_ROOT}"}
        with output_path.open("wb") as output:
            self._process = start_child(command, environment=environment, working_directory=PROJECT_ROOT, output=output)
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            first_line, newline, _ = output_path.read_text().partition("\n")
            if newline and first_line.startswith("{"):
                self._port = int(json.loads(first_line)["port"])
                return
            time.sleep(_POLL_SECONDS)
        self.stop()
        said = output_path.read_text().strip().splitlines() or ["nothing"]
        raise ModelServerStartError(f"the model server did not start on port {self._port}; it said: {said[-1]}")

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            stop_child(self._process, _STOP_GRACE_SECONDS)
            self._process = None
