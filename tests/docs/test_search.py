"""docs/search.md: its table is the request's, and its commands run as they stand against the local stack."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from embedding.search import SearchFilters, SearchRequest
from local.cli import main
from local.load_events import load_events
from tests.flow.workbench import Workbench
from trace_summarization.inputs import allowed_values

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "search.md"
_TABLE = re.compile(r"(<!-- generated: fields -->\n).*?(<!-- end -->)", re.DOTALL)


def fields_table() -> str:
    """The table of all fields, from the models."""
    rows = ["| field | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    fields: list[tuple[str, type[BaseModel], str]] = [
        ("", SearchRequest, name) for name in SearchRequest.model_fields if name != "filters"
    ]
    fields += [("filters.", SearchFilters, name) for name in SearchFilters.model_fields]
    for prefix, model, name in fields:
        field = model.model_fields[name]
        default = "" if field.is_required() or field.default is None else f"`{field.default}`"
        is_time = name in ("window_start", "window_end")
        allowed = allowed_values(model, name).replace("|", "or") or ("an RFC 3339 time" if is_time else "a string")
        rows.append(f"| `{prefix}{name}` | {default} | {allowed} | {field.description} |")
    return "\n".join(rows) + "\n"


def blocks(kind: str) -> list[str]:
    """Code blocks that follow a `<!-- test: kind -->` mark."""
    found = re.findall(rf"<!-- test: {kind} -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, f"the page has no block marked {kind}"
    return found


def test_the_table_of_fields_is_the_requests() -> None:
    text = PAGE.read_text()
    expected = _TABLE.sub(lambda match: match[1] + fields_table() + match[2], text)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(expected)
    assert PAGE.read_text() == expected, "run: UPDATE_DOCS=1 make test"


@pytest.fixture(scope="module")
def environment(bench: Workbench) -> dict[str, str]:
    """The shell of a reader whose team 1 has summaries of the samples, and who pasted the export lines of `up`."""
    with bench.info.clickhouse() as client:
        load_events(client, bench.info.clickhouse_events_table, sorted((ROOT / "samples").glob("*.jsonl.gz")))
    assert bench.metrics_of(1)["summaries_generated"]
    bench.embed(1)
    exports = dict(line.removeprefix("export ").split("=", 1) for line in bench.info.exports())
    return {
        **exports,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "AWS_PAGER": "",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_the_aws_cli_commands_run(environment: dict[str, str], tmp_path: Path) -> None:
    for block in blocks("aws"):
        told = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            env=environment,
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
        )
        assert told.returncode == 0, f"{block}\n{told.stderr}"
        page = json.loads((tmp_path / "page.json").read_text())
        assert len(page["results"]) == 3


def test_the_commands_find_something(bench: Workbench, environment: dict[str, str]) -> None:
    with bench.known_to_commands() as options:
        for line in "".join(blocks("local")).splitlines():
            told = CliRunner().invoke(main, [*shlex.split(line)[3:], *options], catch_exceptions=False)
            assert told.exit_code == 0, told.output
            assert '"trace_id"' in told.stdout or "Found by" in told.stdout, line
