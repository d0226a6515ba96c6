"""Command ``python -m benchmarks.network``."""

from benchmarks.network.models import main
from lvt_core.errors import run_command

run_command(main)
