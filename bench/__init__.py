"""Benchmarks: `python -m bench NAME [--json]`. Figures in the docs come from here."""
