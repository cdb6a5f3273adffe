"""Synthesis: from the CDK's command line as from Python, without account or network; cached safely."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.directory_cache import KEPT_DIRECTORIES, cached_directory
from infra.synthesis import TEMPLATE_NAME, cached_synthesis, host_context, source_hash
from tests.infra.cloudformation import Template

PROJECT_ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_command_line_synthesizes_the_same_without_account_or_credentials(template: Template, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    no_account = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), str(tmp_path / "none"))
    # Nothing answers on this proxy: what asks the network fails.
    no_network = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    context = [part for key, value in host_context().items() for part in ("-c", f"{key}={value}")]
    result = subprocess.run(
        [str(PROJECT_ROOT / "node_modules/.bin/cdk"), "synth", "-q", "--output", str(tmp_path / "out"), *context],
        cwd=PROJECT_ROOT,
        env={**environment, **no_account, **no_network, "UV_OFFLINE": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    # One warning, that Kafka is not configured, and nothing else.
    assert [line for line in result.stderr.splitlines() if line and not line.startswith(" ")] == [
        "WARNING context key kafka is not set: summaries will be written, "
        "their embedding requests counted as failed (Annotation)"
    ]
    assert json.loads((tmp_path / "out" / TEMPLATE_NAME).read_text()) == template.document


def test_cached_synthesis_is_found_again(template: Template) -> None:
    assert cached_synthesis(host_context()) == template.path


def test_source_hash_names_the_sources() -> None:
    assert source_hash() == source_hash()
    assert len(source_hash()) == 64


def test_directory_is_built_once_however_many_ask_at_once(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from infra.directory_cache import cached_directory
root = Path(sys.argv[1])
def build(directory):
    with (root / "builds").open("a") as log:
        log.write("x")
    time.sleep(0.3)
    (directory / "content").write_text("whole")
print((cached_directory(root, "key", build) / "content").read_text())
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with ThreadPoolExecutor(4) as pool:
        outputs = list(
            pool.map(
                lambda _: subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT_ROOT).stdout,
                range(4),
            )
        )
    assert outputs == ["whole\n"] * 4
    assert (tmp_path / "builds").read_text() == "x"


def test_failed_build_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cached_directory(tmp_path, "key", fail)
    assert not (tmp_path / "key").exists()
    assert list(cached_directory(tmp_path, "key", lambda directory: (directory / "whole").touch()).iterdir()) == [
        tmp_path / "key" / "whole"
    ]


def test_old_directories_go_but_none_that_is_in_use(tmp_path: Path) -> None:
    def build(directory: Path) -> None:
        (directory / "content").touch()

    in_use = cached_directory(tmp_path, "in-use", build)
    program = (
        "import sys; from pathlib import Path; from infra.directory_cache import cached_directory\n"
        "cached_directory(Path(sys.argv[1]), sys.argv[2], lambda directory: None)"
    )
    for number in range(KEPT_DIRECTORIES + 2):
        # Each in a process of its own: a process keeps what it has used.
        subprocess.run([sys.executable, "-c", program, str(tmp_path), f"{number}"], check=True, cwd=PROJECT_ROOT)
    left = {entry.name for entry in tmp_path.iterdir() if entry.is_dir()}
    assert in_use.name in left
    assert (in_use / "content").exists()
    assert "0" not in left
    assert len(left) == KEPT_DIRECTORIES + 1
