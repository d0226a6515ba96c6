"""``lvt predict``: photos and videos through a trained network."""

from __future__ import annotations

import argparse

from lvt_core.checkpoint.arguments import add_use_ema
from lvt_core.errors import UserError
from lvt_core.predict.load import Size, load
from lvt_core.predict.network import AUTO
from lvt_predict.photo.command import add_predict as add_common, positive, run_predict as run_common


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lvt predict``."""
    add_common(parser)
    parser.add_argument(
        "--size",
        nargs="+",
        type=positive,
        metavar="PIXELS",
        help="a side, or height and width, of the network's input; default: the checkpoint's",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="mmdetection's config of a panoptic checkpoint; default: published"
    )
    parser.add_argument("--device", default=AUTO, help="cpu, cuda, ...; default: a GPU if there is one")
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16 where that is safe")
    add_use_ema(parser)


def run_predict(arguments: argparse.Namespace) -> None:
    """Predict all sources with a checkpoint or an exported folder.

    Raises:
        UserError: An argument or a file is wrong.
    """
    size = _size(arguments.size)
    run_common(
        arguments,
        lambda: load(
            arguments.network,
            size=size,
            config=arguments.config,
            use_ema=arguments.use_ema,
            device=arguments.device,
            amp=arguments.amp,
            trust=arguments.trust,
        ),
    )


def _size(words: list[int] | None) -> Size | None:
    if words is None:
        return None
    if len(words) > 2:
        raise UserError(f"--size {' '.join(map(str, words))}: must be a side, or height and width")
    return words[0], words[-1]
