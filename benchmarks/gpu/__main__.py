"""Command ``python -m benchmarks.gpu``."""

from benchmarks.gpu.parts import main
from lvt_core.errors import run_command

run_command(main)
