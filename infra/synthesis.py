"""Synthesizes the app without the CDK's command line, for the local stack and the tests; cached by its sources."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.directory_cache import cached_directory

PROJECT_ROOT = Path(__file__).resolve().parent.parent
SYNTHESES = PROJECT_ROOT / ".local" / "synth"
TEMPLATE_NAME = "TraceSummarization.template.json"

_SOURCES = ("app.py", "cdk.json", "requirements.txt", "requirements-bootstrap.txt", "infra", "lambdas")
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}


class SynthesisError(Exception):
    """The app did not synthesize; the message is what it said."""


def cached_synthesis(context: Mapping[str, Any]) -> Path:
    """Path of the template for this context, synthesized unless sources and context are as they were before.

    Beside the template lie the assets that it refers to. All of it stays as long as this process lives. Safe when
    several processes ask at once. Raises SynthesisError.
    """
    identity = json.dumps([source_hash(), dict(context), sys.version_info[:2]], sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()[:32]

    def build(directory: Path) -> None:
        synthesize(directory, context)

    return cached_directory(SYNTHESES, key, build) / TEMPLATE_NAME


def synthesize(out_dir: Path, context: Mapping[str, Any]) -> Path:
    """Synthesize into `out_dir` with the context of cdk.json and the given keys; the template's path.

    Raises SynthesisError.
    """
    defaults = json.loads((PROJECT_ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    environment = {
        **os.environ,
        "CDK_OUTDIR": str(out_dir.resolve()),
        "CDK_CONTEXT_JSON": json.dumps({**defaults, **context}),
    }
    command = [sys.executable, str(PROJECT_ROOT / "app.py")]
    result = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise SynthesisError(result.stderr.strip() or f"app.py ended with exit code {result.returncode}")
    return out_dir / TEMPLATE_NAME


def host_context() -> dict[str, str]:
    """Context keys that make functions which run on this machine. Raises SynthesisError on a processor Lambda lacks."""
    machine = platform.machine().lower()
    if machine not in _ARCHITECTURES:
        raise SynthesisError(
            f"processor {machine} is none of Lambda's: {', '.join(sorted(set(_ARCHITECTURES.values())))}"
        )
    context = {
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "architecture": _ARCHITECTURES[machine],
    }
    return context if sys.platform == "linux" else {**context, "bundle_platform": "host"}


def source_hash() -> str:
    """Hash of everything that the synthesized app is made of."""
    digest = hashlib.sha256()
    for path in sorted(_source_files()):
        digest.update(f"{path.relative_to(PROJECT_ROOT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _source_files() -> Iterator[Path]:
    for source in _SOURCES:
        root = PROJECT_ROOT / source
        found = root.rglob("*") if root.is_dir() else iter([root])
        yield from (path for path in found if path.is_file() and "__pycache__" not in path.parts)
