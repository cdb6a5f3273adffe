"""Run a benchmark, print its figures, and leave with exit code 1 when one misses its limit."""

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

NAMES = (
    "bundles",
    "clickhouse",
    "corpus",
    "embedding_faults",
    "embeddings",
    "injection",
    "money",
    "orchestration",
    "redaction",
    "references",
    "search",
    "text_repr",
)
OVER_EVENT_FILES = frozenset({"corpus", "text_repr"})  # these take `--events`


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=["all", *NAMES])
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else")
    parser.add_argument(
        "--events",
        type=Path,
        default=Path("samples"),
        help=f"{', '.join(sorted(OVER_EVENT_FILES))}: folder of *.jsonl[.gz] event files (default: samples)",
    )
    arguments = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    missed = []
    for name in NAMES if arguments.name == "all" else [arguments.name]:
        benchmark = importlib.import_module(f"bench.{name}")
        results[name] = _run(benchmark, name, arguments.events)
        if not benchmark.passes(results[name]):
            missed.append(name)
        if not arguments.json:
            print(f"== {name}\n{benchmark.report(results[name])}\n")
    if arguments.json:
        print(json.dumps(results if arguments.name == "all" else results[arguments.name]))
    if missed:
        sys.exit(f"missed its limit: {', '.join(missed)}")


def _run(benchmark: ModuleType, name: str, events: Path) -> dict[str, Any]:
    figures: dict[str, Any] = benchmark.run(events) if name in OVER_EVENT_FILES else benchmark.run()
    return figures


main()
