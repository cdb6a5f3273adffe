"""Child processes that do not outlive this one, however it ends.

On Linux the kernel kills a child when its parent dies (`PR_SET_PDEATHSIG`): not even SIGKILL of the parent leaves one
behind. Elsewhere children end with `stop_child` only: what calls `start_child` must reach it on Ctrl-C and SIGTERM.

A child runs in a session of its own: Ctrl-C in a terminal reaches the owner alone, which stops its children in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

__all__ = ["start_child", "stop_child"]

# Runs in the child before the command. A function given to `preexec_fn` could do the same, but it would run Python in a
# fork of a process with many threads (it can deadlock), and fork copies the page tables of an engine's gigabytes.
# 1 is PR_SET_PDEATHSIG, 9 SIGKILL: importing `signal` would double the start-up time.
_DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

# To the kernel the "parent" is the thread that made the child: a child started by a short-lived thread would be killed
# when that thread ends. This one thread starts them all and lives as long as the interpreter.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-starter")


def start_child(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    working_directory: Path,
    output: int | IO[bytes] = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a process that dies with this one.

    Args:
        command: program, by absolute path, and arguments.
        environment: all of the child's environment; nothing is inherited.
        working_directory: of the child.
        output: file or descriptor for its stdout and stderr; its stdin is closed.

    Raises:
        FileNotFoundError: there is no such program.
    """
    program = command[0]
    if not os.access(program, os.X_OK):
        raise FileNotFoundError(f"{program} is not an executable file")
    if sys.platform == "linux":
        launcher = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
        command = [*launcher, *command]
    return _starter.submit(
        subprocess.Popen,
        list(command),
        env=dict(environment),
        cwd=working_directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ).result()


def stop_child(process: subprocess.Popen[bytes], grace_seconds: float = 0.0) -> None:
    """End a process of `start_child` and what it started, and wait for its end.

    Args:
        process: may have ended already.
        grace_seconds: time that it gets to end by itself after SIGTERM, before SIGKILL; 0 sends no SIGTERM.
    """
    if grace_seconds > 0 and process.poll() is None:
        _signal_session(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    if process.poll() is None:
        _signal_session(process, signal.SIGKILL)
        process.wait()


def _signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended in between
        os.killpg(process.pid, number)
