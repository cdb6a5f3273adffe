"""docs/embeddings.md: its command runs as it stands, its links lead somewhere, its metrics are the function's."""

import base64
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from handlers import embed_documents
from tests.flow.workbench import Workbench
from trace_summarization import constants as c

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "embeddings.md").read_text()


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"the page has no section {title}"
    return found[1]


def test_the_command_lists_a_broken_record(bench: Workbench, tmp_path: Path) -> None:
    topic, offset = bench.info.kafka_topic, 1_000_017
    record = {"topic": topic, "partition": 0, "offset": offset, "value": base64.b64encode(b"no request").decode()}
    bench.invoke(bench.info.embed_function, {"eventSource": "SelfManagedKafka", "records": {f"{topic}-0": [record]}})
    exports = dict(line.removeprefix("export ").split("=", 1) for line in bench.info.exports())
    blocks = re.findall(r"<!-- test: aws -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 1
    told = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", blocks[0]],
        env={
            **exports,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/"),
            "AWS_PAGER": "",
        },
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    digest = hashlib.sha256(b"no request").hexdigest()
    assert f"broken/{topic}/0/{offset:020}-{digest}.json" in told.stdout.split()


def test_the_metrics_are_those_of_the_function() -> None:
    named = set(re.findall(r"`([A-Z]\w+)`", section("Metrics and logs")))
    assert named == set(re.findall(r'^        \("(\w+)", ', Path(embed_documents.__file__).read_text(), re.MULTILINE))


def test_the_limits_are_those_of_the_code() -> None:
    models = section("Models")
    for limit in (c.MAX_EMBEDDING_INPUT_TOKENS, c.MAX_EMBEDDING_INPUTS, c.MAX_EMBEDDING_REQUEST_TOKENS):
        assert f"{limit:,}" in models
    assert f"`{c.DEFAULT_EMBEDDING_MODELS[0]}`" in models


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE))))
def test_a_link_leads_to_a_file(link: str) -> None:
    assert (DOCS / link).is_file()
