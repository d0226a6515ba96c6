"""Test a segmentor or a panoptic segmentor: tools/test.py CONFIG CHECKPOINT [options]."""

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed


def main() -> None:
    """Check that the framework is installed, then run the command."""
    require_installed("mmengine", "mmcv", extra="dense")
    from lvt_core.openmmlab.commands import run_test

    run_test(__doc__)


if __name__ == "__main__":
    run_command(main)
