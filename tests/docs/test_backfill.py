"""docs/backfill.md: its commands run as they stand, against the local stack."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from local.cli import main
from local.load_events import load_events
from local.stack_info import DataDirectory
from tests.flow.workbench import Workbench

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "backfill.md").read_text()


def commands(kind: str) -> list[str]:
    """The commands of all blocks that follow a `<!-- test: kind -->` mark."""
    blocks = re.findall(rf"<!-- test: {kind} -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    assert blocks, f"the page has no block marked {kind}"
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture(scope="module")
def data_dir(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory on which the tests' stack runs, with the samples loaded."""
    samples = [ROOT / "samples" / f"events-team{name}.jsonl.gz" for name in ("3-gateway", "5-frameworks")]
    load_events(bench.client, bench.info.clickhouse_events_table, samples)
    bench.info.aws("ssm").put_parameter(
        Name=bench.info.allowlist_parameter, Type="String", Value="[3, 5]", Overwrite=True
    )
    directory = DataDirectory(tmp_path_factory.mktemp("data")).acquire()
    directory.publish(bench.info)
    yield directory.path
    directory.release()


def run(command: str, *further: str) -> None:
    words = shlex.split(command.removeprefix("python -m local "))
    told = CliRunner().invoke(main, [*words, *further], prog_name="python -m local")
    assert told.exit_code == 0, f"{command}\n{told.output}"


def test_the_local_commands_run(data_dir: Path) -> None:
    for command in commands("local"):
        run(command, "--data-dir", str(data_dir))


def test_the_commands_for_a_deployed_stack_run(
    bench: Workbench, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data_dir
    for line in bench.info.exports():
        monkeypatch.setenv(*line.removeprefix("export ").split("=", 1))
    dsn, *others = commands("deployed")
    assert dsn.startswith("export CLICKHOUSE_DSN=")
    monkeypatch.setenv("CLICKHOUSE_DSN", f"http://{bench.info.clickhouse_host}:{bench.info.clickhouse_port}")
    with bench.deployed_as("trace-summarization"):
        for command in others:
            run(command)


def test_the_function_can_be_invoked_by_hand(bench: Workbench, data_dir: Path) -> None:
    assert data_dir
    exports = dict(line.removeprefix("export ").split("=", 1) for line in bench.info.exports())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands("aws"))],
        env={**exports, "PATH": path, "HOME": os.environ.get("HOME", "/"), "AWS_PAGER": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert '"missing": ' in told.stdout
