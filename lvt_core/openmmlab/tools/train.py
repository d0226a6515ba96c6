"""Train a segmentor or a panoptic segmentor: tools/train.py CONFIG [options]."""

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed


def main() -> None:
    """Check that the framework is installed, then run the command."""
    require_installed("mmengine", "mmcv", extra="dense")
    from lvt_core.openmmlab.commands import run_train

    run_train(__doc__)


if __name__ == "__main__":
    run_command(main)
