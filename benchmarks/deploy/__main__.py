"""Command ``python -m benchmarks.deploy``."""

from benchmarks.deploy.table import main
from lvt_core.errors import run_command

run_command(main)
