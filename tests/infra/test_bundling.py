"""The bundle: the same from the same sources, small, complete for this runtime, resolvable for every other."""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from uv import find_uv_bin

from infra.bundling import MAX_UNZIPPED_BYTES, REQUIREMENTS, BundleTarget, staged_bundle
from infra.settings import Architecture, PythonVersion, StackSettings
from infra.synthesis import PROJECT_ROOT, host_context
from local.lambda_runtime import FunctionSpec, LambdaRuntime
from local.template import Template as LocalTemplate
from tests.infra.cloudformation import Template

LAMBDA_PYTHON = PROJECT_ROOT / ".venv" / "lambda-runtime" / "bin" / "python"
EXECUTION = {"execution_start": "2026-01-15T12:00:30Z", "execution_id": "arn:aws:states:::execution:machine:run"}
RUN = {
    "team_id": 1,
    "batch_run_id": "team_1_2026-01-15T12:00:00Z",
    "window_start": "2026-01-15T11:00:00Z",
    "window_end": "2026-01-15T12:00:00Z",
    "mode": "detailed",
    "model": "gpt-4.1-mini",
    "batch_size": 5,
    "execution_id": EXECUTION["execution_id"],
    "started_at": "2026-01-15T12:00:30Z",
    "deadline": "2099-01-01T00:00:00Z",
    "spending_key": EXECUTION["execution_id"],
    "price": {"input": 400_000, "cached_input": 100_000, "output": 1_600_000},
    "max_cost_usd": 5.0,
    "max_input_tokens": 60_000,
    "redaction": True,
    "dry_run": False,
    "traces_queried": 0,
}


@pytest.fixture(scope="module")
def host_target() -> BundleTarget:
    return BundleTarget.of(StackSettings.from_context(host_context()))


@pytest.fixture(scope="module")
def bundle_directory(template: Template) -> Path:
    local = LocalTemplate(template.path)
    (directory,) = {local.asset_directory(function) for function in local.functions()}
    return directory


def _content(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


# --- what it holds ---------------------------------------------------------------------------------------------------


def test_bundle_is_small_enough(bundle_directory: Path) -> None:
    size = sum(path.stat().st_size for path in bundle_directory.rglob("*") if path.is_file())
    assert 10_000_000 < size <= MAX_UNZIPPED_BYTES


def test_every_module_comes_with_bytecode_that_is_never_checked_against_its_source(bundle_directory: Path) -> None:
    tag = f"cpython-{host_context()['python_version'].replace('.', '')}"
    sources = list(bundle_directory.rglob("*.py"))
    assert len(sources) > 500
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00", source  # PEP 552: hash-based, unchecked


def test_bundle_leaves_out_what_the_runtime_has_and_what_nothing_runs(bundle_directory: Path) -> None:
    names = {path.name for path in bundle_directory.iterdir()}
    assert not {"boto3", "botocore", "bin", "requirements.txt", "requirements.in"} & names
    assert {"handlers", "trace_summarization", "adapters", "embedding"} <= names


@pytest.mark.slow
def test_two_builds_are_the_same_to_the_byte(host_target: BundleTarget, tmp_path: Path) -> None:
    contents = []
    for build in ("first", "second"):
        with staged_bundle(host_target, cache=tmp_path / build) as bundle:
            assert bundle.has_bytecode
            contents.append(_content(bundle.path))
    first, second = contents
    assert first == second


@pytest.mark.slow
def test_deployment_bundle_is_compiled_for_its_own_runtime_or_says_that_it_is_not(tmp_path: Path) -> None:
    target = BundleTarget("3.13", "arm64")
    with staged_bundle(target) as bundle:
        compiled = bool(list(bundle.path.rglob("*.cpython-313.pyc")))
        assert compiled is bundle.has_bytecode
        assert not list(bundle.path.rglob("*.cpython-311.pyc"))
        (core,) = bundle.path.glob("pydantic_core/_pydantic_core*.so")
        assert "aarch64" in core.name


# --- that it runs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runtime(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaRuntime]:
    """The functions of the template under the real runtime client, with no AWS to be reached."""
    local = LocalTemplate(template.path)
    functions = [
        FunctionSpec(
            name=function.properties["Handler"].split(".")[1],
            handler=function.properties["Handler"],
            task_root=local.asset_directory(function),
            timeout_seconds=function.properties["Timeout"],
            memory_mb=function.properties["MemorySize"],
            environment=_without_aws(function.properties["Environment"]["Variables"]),
        )
        for function in local.functions()
    ]
    with LambdaRuntime(functions, LAMBDA_PYTHON, tmp_path_factory.mktemp("logs"), workers=1) as started:
        yield started


def _without_aws(variables: dict[str, Any]) -> dict[str, str]:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:example-AbCdEf"
    own = {name: value if isinstance(value, str) else arn for name, value in variables.items()}
    nobody_listens = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    return {**own, **nobody_listens, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}


def _answer(runtime: LambdaRuntime, function: str, event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(runtime.invoke(function, json.dumps(event).encode()).payload)
    return answer


def test_aggregate_run_answers(runtime: LambdaRuntime) -> None:
    outcome = {"team_id": 7, "status": "completed", "traces_queried": 3, "summaries_generated": 2}
    answer = _answer(runtime, "aggregate_run", {"outcomes": [outcome]})
    assert (answer["teams_processed"], answer["total_traces"], answer["total_summaries"]) == (1, 3, 2)


@pytest.mark.parametrize("function", ["plan_run", "sample_traces"])
def test_first_states_answer_a_wrong_input_by_its_field(function: str, runtime: LambdaRuntime) -> None:
    answer = _answer(runtime, function, {"input": {"max_traces": 0, "team_id": 1}, **EXECUTION})
    assert answer["errorType"] == "InvalidInput"
    assert "max_traces" in answer["errorMessage"]


@pytest.mark.parametrize(
    ("function", "event", "error"),
    [
        ("plan_run", {"input": {}, **EXECUTION}, "SecretUnavailable"),
        ("sample_traces", {"input": {"team_id": 1}, **EXECUTION}, "SecretUnavailable"),
        ("summarize_trace", {"run": RUN, "trace_id": "a"}, "SecretUnavailable"),
        ("aggregate_team", {"run": RUN, "outcomes": []}, "SecretUnavailable"),
    ],
)
def test_function_starts_and_gets_as_far_as_its_first_call_of_aws(
    function: str, event: dict[str, Any], error: str, runtime: LambdaRuntime
) -> None:
    answer = _answer(runtime, function, event)
    assert answer.get("errorType") == error, answer


# --- on which system -------------------------------------------------------------------------------------------------

# Of the runtime's operating system (Lambda developer guide, "Lambda runtimes"): Amazon Linux 2, Amazon Linux 2023.
GLIBC_OF_RUNTIME: dict[PythonVersion, tuple[int, int]] = {"3.11": (2, 26), "3.12": (2, 34), "3.13": (2, 34)}


@pytest.mark.slow
@pytest.mark.parametrize(("python_version", "architecture"), [("3.11", "x86_64"), ("3.13", "arm64")])
def test_no_library_needs_a_newer_glibc_than_its_runtime_has(
    python_version: PythonVersion, architecture: Architecture
) -> None:
    with staged_bundle(BundleTarget(python_version, architecture)) as bundle:
        libraries = list(bundle.path.rglob("*.so*"))
        needed = {path.name: _newest_glibc(path) for path in libraries}
    assert len(needed) > 5
    assert max(needed.values()) > (2, 0)
    limit = GLIBC_OF_RUNTIME[python_version]
    assert {name: glibc for name, glibc in needed.items() if glibc > limit} == {}


def _newest_glibc(library: Path) -> tuple[int, int]:
    """Newest version of glibc among the symbol versions that a library asks for; (0, 0) when it asks for none."""
    found = re.findall(rb"GLIBC_(\d+)\.(\d+)", library.read_bytes())
    return max(((int(major), int(minor)) for major, minor in found), default=(0, 0))


@pytest.mark.parametrize("architecture", get_args(Architecture))
@pytest.mark.parametrize("python_version", get_args(PythonVersion))
def test_wheels_are_chosen_for_a_glibc_that_the_runtime_has(
    python_version: PythonVersion, architecture: Architecture
) -> None:
    platform = BundleTarget(python_version, architecture).uv_arguments()[-1]
    processor, glibc = platform.split("-manylinux_")
    major, minor = map(int, glibc.split("_"))
    assert processor == {"arm64": "aarch64", "x86_64": "x86_64"}[architecture]
    assert (major, minor) <= GLIBC_OF_RUNTIME[python_version]


# --- for every other runtime -----------------------------------------------------------------------------------------


def _dry_run(target_arguments: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    command = [
        *(find_uv_bin(), "pip", "install", "--dry-run", "--only-binary", ":all:", "--require-hashes"),
        *target_arguments,
        *("--target", str(directory), "--requirement", str(REQUIREMENTS)),
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("architecture", get_args(Architecture))
@pytest.mark.parametrize("python_version", get_args(PythonVersion))
def test_every_dependency_has_a_wheel(
    python_version: PythonVersion, architecture: Architecture, tmp_path: Path
) -> None:
    result = _dry_run(BundleTarget(python_version, architecture).uv_arguments(), tmp_path)
    assert result.returncode == 0, result.stderr
    assert "pydantic-core" in result.stderr


def test_a_runtime_without_wheels_would_be_noticed(tmp_path: Path) -> None:
    result = _dry_run(["--python-version", "3.8", "--python-platform", "aarch64-manylinux_2_28"], tmp_path)
    assert result.returncode != 0
    assert "no solution found" in result.stderr.lower() or "no matching distribution" in result.stderr.lower()
