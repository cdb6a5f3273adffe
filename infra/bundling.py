"""The one code bundle of all functions: locked wheels, our packages, bytecode. Needs uv; no Docker, no CDK.

One bundle, because the functions share nearly all of their dependencies: one upload, and one thing to test.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from infra.directory_cache import cached_directory
from infra.settings import Architecture, BundlePlatform, PythonVersion, StackSettings

PROJECT_ROOT = Path(__file__).resolve().parent.parent
LAMBDAS = PROJECT_ROOT / "lambdas"
REQUIREMENTS = LAMBDAS / "requirements.txt"
BUNDLES = PROJECT_ROOT / ".local" / "bundles"
INTERPRETERS = PROJECT_ROOT / ".local" / "python"
MAX_UNZIPPED_BYTES = 90_000_000  # Lambda's own limit is 250 MB; a larger bundle starts later

# python3.11 runs on Amazon Linux 2 (glibc 2.26), the later runtimes on Amazon Linux 2023 (glibc 2.34): a wheel for a
# newer glibc installs, deploys, and fails on import. 2_28 where it runs, since more and more releases leave 2_17 out.
_MANYLINUX: dict[PythonVersion, str] = {
    "3.11": "manylinux_2_17",
    "3.12": "manylinux_2_28",
    "3.13": "manylinux_2_28",
}
_PROCESSORS: dict[Architecture, str] = {"arm64": "aarch64", "x86_64": "x86_64"}
_TASK_ROOT = "/var/task"


@dataclass(frozen=True)
class BundleTarget:
    """What a bundle is to run on."""

    python_version: PythonVersion
    architecture: Architecture
    platform: BundlePlatform = "lambda"

    @classmethod
    def of(cls, settings: StackSettings) -> "BundleTarget":
        """The target that a deployment chooses."""
        return cls(settings.python_version, settings.architecture, settings.bundle_platform)

    def uv_arguments(self) -> list[str]:
        """Arguments that make `uv pip install` pick this target's wheels."""
        version = ["--python-version", self.python_version]
        if self.platform == "host":
            return version
        return [*version, "--python-platform", f"{_PROCESSORS[self.architecture]}-{_MANYLINUX[self.python_version]}"]


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk. Without bytecode every cold start compiles anew: Lambda's file system is read-only."""

    path: Path
    has_bytecode: bool


@contextmanager
def staged_bundle(target: BundleTarget, cache: Path = BUNDLES) -> Iterator[Bundle]:
    """The bundle in a temporary directory; its dependencies are kept in `cache`.

    Raises subprocess.CalledProcessError when a wheel cannot be had.
    """
    interpreter = _interpreter(target.python_version)
    key = _dependencies_key(target, with_bytecode=interpreter is not None)
    dependencies = cached_directory(cache, key, lambda directory: _install(target, interpreter, directory))
    with tempfile.TemporaryDirectory(prefix=".staged-", dir=cache) as staged:
        path = Path(staged)
        # Hard links: nothing changes these files, and the CDK copies them once more into its own output.
        shutil.copytree(dependencies, path, copy_function=os.link, dirs_exist_ok=True)
        for package in _packages():
            shutil.copytree(package, path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
            if interpreter is not None:
                _compile(interpreter, path, path / package.name)
        yield Bundle(path, has_bytecode=interpreter is not None)


def _packages() -> list[Path]:
    return sorted(path for path in LAMBDAS.iterdir() if path.is_dir() and path.name != "__pycache__")


def _dependencies_key(target: BundleTarget, with_bytecode: bool) -> str:
    digest = hashlib.sha256(REQUIREMENTS.read_bytes())
    digest.update(Path(__file__).read_bytes())  # how it is built is part of what it is
    parts = [target.python_version, target.architecture, target.platform, "pyc" if with_bytecode else "py"]
    return "-".join([*parts, digest.hexdigest()[:16]])


def _install(target: BundleTarget, interpreter: str | None, directory: Path) -> None:
    subprocess.run(
        [
            *(find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable),
            *("--only-binary", ":all:", "--require-hashes", "--link-mode", "copy", "--no-compile-bytecode"),
            *target.uv_arguments(),
            *("--target", str(directory), "--requirement", str(REQUIREMENTS)),
        ],
        check=True,
    )
    # Console scripts hold the path of the interpreter that installed them, and nothing runs them in Lambda.
    shutil.rmtree(directory / "bin", ignore_errors=True)
    (directory / ".lock").unlink(missing_ok=True)
    if interpreter is not None:
        _compile(interpreter, directory, directory)


def _compile(interpreter: str, root: Path, directory: Path) -> None:
    """Compile so that neither time stamps nor the build's own path end up in the bytecode: equal in, equal out."""
    subprocess.run(
        [
            *(interpreter, "-s", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(root), "-p", _TASK_ROOT, str(directory)),
        ],
        check=True,
        cwd=root.parent,
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
    )


def _interpreter(version: PythonVersion) -> str | None:
    """An interpreter of this minor version, to compile with: this one, one on PATH, or one that uv fetches."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    return _interpreter_on_path(version) or _interpreter_of_uv(version)


def _interpreter_on_path(version: PythonVersion) -> str | None:
    program = "import sys; print(sys.executable)"
    # pyenv's shims are on PATH but answer only for the version that this variable selects.
    environment = {**os.environ, "PYENV_VERSION": version}
    try:
        command = [f"python{version}", "-c", program]
        result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _interpreter_of_uv(version: PythonVersion) -> str | None:
    environment = {**os.environ, "UV_PYTHON_INSTALL_DIR": str(INTERPRETERS), "UV_HTTP_RETRIES": "0"}
    find = [find_uv_bin(), "python", "find", "--quiet", "--managed-python", version]
    install = [find_uv_bin(), "python", "install", "--quiet", "--no-bin", version]
    for command in (find, install, find):
        result = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if result.returncode == 0 and command is find:
            return result.stdout.strip()
    return None
