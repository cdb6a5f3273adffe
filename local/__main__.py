"""Run the command line."""

from local.cli import main

main(prog_name="python -m local")
