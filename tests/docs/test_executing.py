"""docs/executing.md: its table is the models', and its commands run as they stand against the local stack."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings import StackSettings
from local.load_events import load_events
from tests.flow.workbench import Workbench
from trace_summarization.inputs import allowed_values
from trace_summarization.models import BatchSummarizationInputs, BatchTraceSummarizationCoordinatorInputs

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "executing.md"
_TABLE = re.compile(r"(<!-- generated: inputs -->\n).*?(<!-- end -->)", re.DOTALL)


def inputs_table() -> str:
    """The table of all inputs, from the models."""
    rows = ["| input | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    fields = {
        "team_id": BatchSummarizationInputs.model_fields["team_id"],
        **BatchTraceSummarizationCoordinatorInputs.model_fields,
    }
    for name, field in fields.items():
        model = BatchSummarizationInputs if name == "team_id" else BatchTraceSummarizationCoordinatorInputs
        default = "" if field.is_required() or field.default is None else f"`{field.default}`"
        allowed = (
            (allowed_values(model, name) or "an RFC 3339 time")
            .replace("|", "or")
            .replace("^[\\w./:@-]+$", "`[\\w./:@-]+`")
        )
        rows.append(f"| `{name}` | {default} | {allowed} | {field.description} |")
    return "\n".join(rows) + "\n"


def blocks(kind: str) -> list[str]:
    """Code blocks that follow a `<!-- test: kind -->` mark."""
    found = re.findall(rf"<!-- test: {kind} -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, f"the page has no block marked {kind}"
    return found


def test_the_table_of_inputs_is_the_models() -> None:
    text = PAGE.read_text()
    expected = _TABLE.sub(lambda match: match[1] + inputs_table() + match[2], text)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(expected)
    assert PAGE.read_text() == expected, "run: UPDATE_DOCS=1 make test"


@pytest.fixture(scope="module")
def environment(bench: Workbench) -> dict[str, str]:
    """The shell of a reader who loaded the samples and pasted the export lines of `up`."""
    with bench.info.clickhouse() as client:
        load_events(client, bench.info.clickhouse_events_table, sorted((ROOT / "samples").glob("*.jsonl.gz")))
    exports = dict(line.removeprefix("export ").split("=", 1) for line in bench.info.exports())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {
        **exports,
        "PATH": path,
        "HOME": os.environ.get("HOME", "/"),
        "AWS_PAGER": "",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_the_aws_cli_commands_run(bench: Workbench, environment: dict[str, str]) -> None:
    for block in [*(b for b in blocks("aws") if "ssm" in b), *(b for b in blocks("aws") if "ssm" not in b)]:
        told = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], env=environment, check=False, capture_output=True, text=True
        )
        assert told.returncode == 0, f"{block}\n{told.stderr}"
        for arn in re.findall(r'"executionArn": "([^"]+)"', told.stdout):
            assert bench.wait(arn).status == "SUCCEEDED", block


def test_the_python_example_runs(environment: dict[str, str]) -> None:
    [example] = blocks("python")
    told = subprocess.run([sys.executable, "-c", example], env=environment, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("SUCCEEDED")
    assert "'traces_queried': 5" in told.stdout


def test_the_sql_runs(bench: Workbench, environment: dict[str, str]) -> None:
    for statement in blocks("sql"):
        assert bench.client.query(statement).column_names


def test_the_schedule_example_is_a_sound_configuration() -> None:
    [example] = blocks("schedules")
    assert len(StackSettings.from_context(json.loads(example)).schedules) == 1
