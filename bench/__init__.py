"""Benchmarks: `python -m bench NAME [--json]`. Figures in the docs come from here."""

import sys
from pathlib import Path

# The Lambdas' code is packaged from its own folder, and imported here as it is there.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lambdas"))
