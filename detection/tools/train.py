"""Train a panoptic segmentor: tools/train.py CONFIG [options]."""

from functools import partial

from lvt_core.errors import run_command
from lvt_core.frameworks import require_installed

if __name__ == "__main__":
    run_command(partial(require_installed, "mmengine", "mmcv", "mmdet", extra="dense"))

import lvt_det  # noqa: F401  (registers)
from lvt_core.openmmlab.commands import run_training
from lvt_det.checks import check_data


def main() -> None:
    """Parse, check, train."""
    run_training(__doc__, check_data)


if __name__ == "__main__":
    run_command(main)
