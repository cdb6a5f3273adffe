import json
import subprocess
import sys
from pathlib import Path

from bench import clickhouse

PROJECT_ROOT = Path(__file__).parents[3]

# In a process of its own: it starts an engine, and a process can hold one only.
SCRIPT = """
import json, sys
sys.path.insert(0, "lambdas")
from bench import clickhouse
print(json.dumps(clickhouse.run(scale=0.02)))
"""


def test_a_small_benchmark_has_all_its_figures_and_passes() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert clickhouse.passes(result), result
    assert [size["other_events"] for size in result["sizes"]] == [10_000, 100_000]
    assert all(value > 0 for size in result["sizes"] for value in size.values())
    assert "rows read, large over small: sampling" in clickhouse.report(result)
    assert not clickhouse.passes(result | {"sampling_rows_ratio": 1.21})
    assert not clickhouse.passes(result | {"fetch_rows_ratio": 1.21})
