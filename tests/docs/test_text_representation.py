"""docs/text-representation.md: its example is a rendering under review."""

import os
import re
from pathlib import Path

from tests.unit.text_repr.test_golden import GOLDEN

PAGE = Path(__file__).resolve().parents[2] / "docs" / "text-representation.md"
_EXAMPLE = re.compile(r"<!-- golden: ([\w-]+) -->\n```text\n(.*?)```", re.DOTALL)


def test_the_example_is_a_reviewed_rendering() -> None:
    text = PAGE.read_text()

    def example(match: re.Match[str]) -> str:
        rendering = (GOLDEN / f"{match[1]}.txt").read_text()
        return f"<!-- golden: {match[1]} -->\n```text\n{rendering}```"

    expected, count = _EXAMPLE.subn(example, text)
    assert count == 1
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(expected)
    assert PAGE.read_text() == expected, "run: UPDATE_DOCS=1 make test"
