"""What was recorded by others names where it comes from, and its licence is here."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLES, BENCHMARKS = ROOT / "samples" / "README.md", ROOT / "bench" / "SOURCES.md"


def sources(page: Path) -> set[str]:
    named = r"[\w-]+/[\w-]+(?= (?:\| |\()(?:MIT|Apache-2\.0))"
    return set(re.findall(named, page.read_text("utf-8")))


def test_samples_and_benchmarks_name_the_same_sources_and_each_has_its_licence() -> None:
    licences = {path.stem.replace("__", "/") for path in (ROOT / "samples" / "LICENSES").iterdir()}
    assert sources(SAMPLES) == licences
    assert sources(BENCHMARKS) == licences


def test_every_file_that_the_benchmarks_sources_name_is_there() -> None:
    named = re.findall(r"^\| `([\w.]+)` \|", BENCHMARKS.read_text("utf-8"), re.MULTILINE)
    assert len(named) == 3
    assert all((BENCHMARKS.parent / name).is_file() for name in named)
