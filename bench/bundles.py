"""Size and import time of each function, from its own bundle as synthesized for this machine's runtime, with a queue.

Imported in a clean interpreter that has what AWS's image has: the runtime client, boto3, and the bundle.
"""

import statistics
import subprocess
from pathlib import Path
from typing import Any

from infra.bundling import MAX_UNZIPPED_BYTES
from infra.synthesis import PROJECT_ROOT, cached_synthesis, host_context
from local.template import Template

RUNS = 7
MAX_IMPORT_SECONDS = {"summarize_trace": 1.5, "embed_documents": 1.5, "search_summaries": 1.5}  # what calls a model
MAX_IMPORT_SECONDS_OF_OTHERS = 0.7

# Without a queue the stack has no functions that read it or fill it anew.
_QUEUE = {
    "kafka": {"bootstrap_servers": "127.0.0.1:9092", "security_protocol": "PLAINTEXT"},
    "vpc": {"subnet_ids": ["subnet-00000000"], "security_group_ids": ["sg-00000000"]},
}
_PYTHON = PROJECT_ROOT / ".venv" / "lambda-runtime" / "bin" / "python"
_PROGRAM = """
import sys, time
sys.path.insert(0, sys.argv[1])
began = time.perf_counter()
__import__(sys.argv[2])
print(time.perf_counter() - began)
"""


def run() -> dict[str, Any]:
    """Figures of every function: `unzipped_bytes`, `import_seconds` (median, after one run that warms the disk)."""
    template = Template(cached_synthesis({**host_context(), **_QUEUE}))
    functions = []
    for resource in template.functions():
        module = str(resource.properties["Handler"]).rsplit(".", 1)[0]
        name = module.rsplit(".", 1)[1]
        bundle = template.asset_directory(resource)
        seconds = [_import_seconds(bundle, module) for _ in range(RUNS + 1)][1:]
        functions.append(
            {
                "function": name,
                "unzipped_bytes": sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()),
                "max_unzipped_bytes": MAX_UNZIPPED_BYTES,
                "import_seconds": round(statistics.median(seconds), 3),
                "max_import_seconds": MAX_IMPORT_SECONDS.get(name, MAX_IMPORT_SECONDS_OF_OTHERS),
            }
        )
    return {"runs": RUNS, **host_context(), "functions": functions}


def passes(result: dict[str, Any]) -> bool:
    """Whether every function keeps its limits, and none with a limit of its own is missing."""
    measured = {function["function"] for function in result["functions"]}
    return measured.issuperset(MAX_IMPORT_SECONDS) and all(
        function["unzipped_bytes"] <= function["max_unzipped_bytes"]
        and function["import_seconds"] <= function["max_import_seconds"]
        for function in result["functions"]
    )


def report(result: dict[str, Any]) -> str:
    """The figures as a table."""
    lines = [
        f"Python {result['python_version']}, {result['architecture']}, median of {result['runs']} imports",
        f"{'function':<18} {'unzipped MB':>12} {'limit':>6} {'import s':>9} {'limit':>6}",
    ]
    lines += [
        f"{function['function']:<18} {function['unzipped_bytes'] / 1e6:>12.1f} "
        f"{function['max_unzipped_bytes'] / 1e6:>6.0f} "
        f"{function['import_seconds']:>9.3f} {function['max_import_seconds']:>6.1f}"
        for function in result["functions"]
    ]
    return "\n".join(lines)


def _import_seconds(bundle: Path, module: str) -> float:
    # -I and an empty environment: nothing of this machine's own Python reaches it.
    command = [str(_PYTHON), "-I", "-c", _PROGRAM, str(bundle), module]
    result = subprocess.run(command, env={}, check=True, capture_output=True, text=True)
    return float(result.stdout)
