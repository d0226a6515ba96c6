"""Train a segmentor: tools/train.py CONFIG [options]."""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvt_core.errors import run_command
from lvt_core.frameworks import require

if __name__ == "__main__":
    run_command(partial(require, "mmengine", "mmcv", "mmseg", extra="dense"))

import lvt_seg  # noqa: F401  (registers)
from lvt_core.openmmlab.commands import config_of, train, train_parser
from lvt_seg.checks import check_data


def main() -> None:
    """Parse, check, train.

    Raises:
        UserError: An option, the config or the data are wrong.
    """
    args = train_parser(__doc__).parse_args()
    cfg = config_of(args)
    check_data(cfg, ("train_dataloader",) if args.no_validate else ("train_dataloader", "val_dataloader"))
    train(cfg, args)


if __name__ == "__main__":
    run_command(main)
