"""Children must not outlive their parent, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from local.child_process import start_child, stop_child
from tests.local_engines.processes import PROJECT_ROOT, is_running, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel feature and /proc are Linux's")

OWNER = """
import json, sys, time
from pathlib import Path
from local.kafka_broker import KafkaBroker
from local.lambda_runtime import FunctionSpec, LambdaRuntime

broker = KafkaBroker(topics=["t"])
broker.start()
function = FunctionSpec("pid", "app.pid", Path(sys.argv[1]), 10, 128)
runtime = LambdaRuntime([function], Path(sys.argv[2]), Path(sys.argv[1]))
worker = json.loads(runtime.invoke("pid", b"null").payload)
print(json.dumps([broker._process.pid, worker]), flush=True)
time.sleep(60)
"""


def start_sleep(seconds: str = "60") -> subprocess.Popen[bytes]:
    return start_child(["/bin/sleep", seconds], environment={}, working_directory=Path("/"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_is_left_when_the_owner_is_signalled(
    number: signal.Signals, tmp_path: Path, lambda_python: Path
) -> None:
    (tmp_path / "app.py").write_text("import os\ndef pid(event, context):\n    return os.getpid()\n")
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(tmp_path), str(lambda_python)],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with owner:
        assert owner.stdout is not None
        children = json.loads(owner.stdout.readline())
        assert len(children) == 2
        assert all(is_running(child) for child in children)
        owner.send_signal(number)
        owner.wait(10)
        assert wait_until(lambda: not any(is_running(child) for child in children))


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(start_sleep()))
    thread.start()
    thread.join()
    try:
        time.sleep(0.3)
        assert is_running(started[0].pid)
    finally:
        stop_child(started[0])


def test_ctrl_c_in_the_terminal_does_not_reach_a_child() -> None:
    child = start_sleep()
    try:
        assert os.getpgid(child.pid) != os.getpgid(0)
    finally:
        stop_child(child)


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    grandchild_file = tmp_path / "pid"
    child = start_child(
        ["/bin/sh", "-c", f"sleep 60 & echo $! > {grandchild_file}; wait"],
        environment={},
        working_directory=tmp_path,
    )
    assert wait_until(lambda: grandchild_file.exists() and grandchild_file.read_text().strip() != "")
    grandchild = int(grandchild_file.read_text())
    stop_child(child)
    assert wait_until(lambda: not is_running(grandchild))


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace() -> None:
    child = start_child(
        ["/bin/sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"],
        environment={},
        working_directory=Path("/"),
    )
    time.sleep(0.2)  # the trap must be set
    stop_child(child, grace_seconds=0.3)
    assert child.returncode == -signal.SIGKILL


def test_stopping_a_child_that_has_ended_is_no_error() -> None:
    child = start_sleep("0")
    child.wait(5)
    stop_child(child, grace_seconds=1)
    assert child.returncode == 0


def test_a_missing_program_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"/no/such/program is not an executable file"):
        start_child(["/no/such/program"], environment={}, working_directory=Path("/"))
