"""Command ``python -m benchmarks.loader``."""

from benchmarks.loader.comparison import main
from lvt_core.errors import run_command

run_command(main)
