"""The same stack on one machine: each cloud service replaced by a real engine behind the service's own interface."""

import sys
from pathlib import Path

# The Lambdas' code is packaged from its own folder, and imported here as it is there.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lambdas"))
