"""Directories that are expensive to build and fully named by their key: built once, shared by all processes."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT_DIRECTORIES = 8

# Open directories on which this process holds a shared lock until it ends: another one must not remove what we use.
_in_use: dict[Path, int] = {}


def cached_directory(root: Path, key: str, build: Callable[[Path], None]) -> Path:
    """The directory `root/key`; when it is absent, `build` fills it. Safe when several processes ask at once.

    What is in use by a living process stays; beyond that the most recently used `KEPT_DIRECTORIES` are kept.
    """
    directory = root / key
    if directory in _in_use or _use(directory):
        return directory
    root.mkdir(parents=True, exist_ok=True)
    with _exclusive(root / ".lock"):
        if not directory.is_dir():
            _build(directory, build)
        if not _use(directory):
            raise RuntimeError(f"{directory} vanished while its lock was held")
        _remove_unused(root)
    return directory


def _build(directory: Path, build: Callable[[Path], None]) -> None:
    unfinished = directory.with_name(f".building-{directory.name}")
    shutil.rmtree(unfinished, ignore_errors=True)  # left over from a process that was killed
    unfinished.mkdir()
    try:
        build(unfinished)
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _use(directory: Path) -> bool:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if not directory.is_dir():  # removed between open and lock
        os.close(descriptor)
        return False
    os.utime(directory)
    _in_use[directory] = descriptor
    return True


def _remove_unused(root: Path) -> None:
    directories = [entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    directories.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for directory in directories[KEPT_DIRECTORIES:]:
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # in use
        else:
            shutil.rmtree(directory)
        finally:
            os.close(descriptor)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
