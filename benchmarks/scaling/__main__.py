"""Command ``python -m benchmarks.scaling``."""

from benchmarks.scaling.processes import main
from lvt_core.errors import run_command

run_command(main)
