"""Run a benchmark, print its figures, and leave with exit code 1 when one misses its limit."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import bundles, clickhouse, corpus, orchestration, redaction


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark module offers."""

    run: Callable[[], dict[str, Any]]
    report: Callable[[dict[str, Any]], str]
    passes: Callable[[dict[str, Any]], bool]


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=["all", "bundles", "clickhouse", "corpus", "orchestration", "redaction"])
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else")
    parser.add_argument(
        "--events", type=Path, default=Path("samples"), help="corpus: folder of *.jsonl[.gz] event files"
    )
    arguments = parser.parse_args()
    benchmarks = {
        "bundles": Benchmark(bundles.run, bundles.report, bundles.passes),
        "clickhouse": Benchmark(clickhouse.run, clickhouse.report, clickhouse.passes),
        "corpus": Benchmark(lambda: corpus.run(arguments.events), corpus.report, corpus.passes),
        "orchestration": Benchmark(orchestration.run, orchestration.report, orchestration.passes),
        "redaction": Benchmark(redaction.run, redaction.report, redaction.passes),
    }
    names = sorted(benchmarks) if arguments.name == "all" else [arguments.name]
    results: dict[str, dict[str, Any]] = {}
    missed = []
    for name in names:
        results[name] = benchmarks[name].run()
        if not benchmarks[name].passes(results[name]):
            missed.append(name)
        if not arguments.json:
            print(f"== {name}\n{benchmarks[name].report(results[name])}\n")
    if arguments.json:
        print(json.dumps(results if arguments.name == "all" else results[arguments.name]))
    if missed:
        sys.exit(f"missed its limit: {', '.join(missed)}")


main()
