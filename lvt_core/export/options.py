"""The options of ``lvt export``, and what they refuse by themselves."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lvt_core.errors import UserError
from lvt_core.export import BFLOAT16, PRECISIONS, RUNTIMES
from lvt_core.export.open_model import MODELS
from lvt_core.export.recipe.recipe import ACTIVATIONS

NOT_PANOPTIC = ("labels", "recipe", "before", "search", "use_ema", "model_kwargs", "crop_pct")


def add_export(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("source", help=f"{', '.join(MODELS)}, or a checkpoint of one of them")
    parser.add_argument("--to", choices=tuple(RUNTIMES), required=True)
    parser.add_argument(
        "--size",
        nargs="+",
        metavar="PIXELS",
        help="a side, height and width, or 'dynamic'; default: 512 for dense tasks' networks, else 224",
    )
    parser.add_argument(
        "--model-kwargs",
        nargs="*",
        type=_field,
        metavar="KEY=VALUE",
        help="of a variant: num_heads=(1,2,4,8); depths and classes are read from the weights",
    )
    parser.add_argument("--precision", choices=(*PRECISIONS, BFLOAT16), default="fp32")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="labelled images, laid out as the task's recipe has them: compared, judged, calibrated on",
    )
    parser.add_argument("--crop-pct", type=_part, help="part of an image that a classifier's crop keeps")
    parser.add_argument("--limit", type=_count, help="judge on this many images at most")
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="of int8: which layers stay in float")
    parser.add_argument(
        "--labels", action="store_true", help="of segmentation: each pixel's class, not logits at a quarter"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; list the operators that accelerators' delegates leave to the runtime",
    )
    parser.add_argument(
        "--search",
        type=Path,
        metavar="FILE",
        help="of int8: find the recipe by each part's sensitivity and write it here (minutes)",
    )
    parser.add_argument(
        "--activations",
        nargs="+",
        choices=ACTIVATIONS,
        default=(),
        help="of --search: kinds to try, in this order; default: all that the runtime has",
    )
    parser.add_argument(
        "--before",
        metavar="CHECKPOINT",
        help="of int8: what the network was before --quantization-aware; its score is the one to keep",
    )
    parser.add_argument("--task", choices=("panoptic",), help="a panoptic network; needs --config")
    parser.add_argument("--config", type=Path, metavar="FILE", help="mmdetection's, of a panoptic network")
    parser.add_argument("--use-ema", action="store_true", help="take the moving average")
    parser.add_argument("--output", metavar="FOLDER", help="default: exports/NAME-RUNTIME-PRECISION")


def require_sensible(arguments: argparse.Namespace) -> None:
    """Refuse options that could not act.

    Raises:
        UserError: There is one.
    """
    if (arguments.task is None) != (arguments.config is None):
        raise UserError("--task panoptic and --config FILE: must be given together")
    given = [option for option in NOT_PANOPTIC if getattr(arguments, option) not in (None, False)]
    if arguments.task is not None and given:
        raise UserError(f"--{given[0].replace('_', '-')}: not for a panoptic network")
    search, recipe, before = (
        getattr(arguments, option) is not None for option in ("search", "recipe", "before")
    )
    if (search or recipe or before) and arguments.precision != "int8":
        raise UserError("--search, --recipe and --before: need --precision int8")
    if search and (recipe or arguments.check):
        raise UserError("--search: not with --recipe, which it writes, or --check, which writes nothing")
    if before and (search or arguments.check):
        raise UserError(
            "--before: not with --search, which asks for agreement, or --check, which judges nothing"
        )
    if search and (arguments.data is None or arguments.search.is_dir()):
        raise UserError(f"--search {arguments.search}: must be a file to write, and needs --data FOLDER")
    if arguments.activations and not search:
        raise UserError("--activations: is of --search; a recipe has its own")
    if arguments.check and arguments.output is not None:
        raise UserError("--check: writes nothing, so it takes no --output")
    if arguments.limit is not None and arguments.data is None:
        raise UserError("--limit: is of --data FOLDER")
    if arguments.use_ema and arguments.source in MODELS:
        raise UserError(f"--use-ema: {arguments.source} is no checkpoint")


def size_of(words: Sequence[str] | None, *, default: int) -> tuple[tuple[int, int], bool]:
    """Height and width, and whether they are free.

    Args:
        words: Of ``--size``, if it is given.
        default: The side, if it is not.

    Raises:
        UserError: They are no size.
    """
    if words is None or list(words) == ["dynamic"]:
        return (default, default), words is not None
    if len(words) > 2 or not all(word.isdecimal() for word in words):
        raise UserError(f"--size {' '.join(words)}: must be a side, height and width, or 'dynamic'")
    return (int(words[0]), int(words[-1])), False


def _count(word: str) -> int:
    """A number of images, at least one."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word}: must be an integer, at least 1")
    return int(word)


def _part(word: str) -> float:
    """A part of a side: more than nothing, all of it at most."""
    try:
        part = float(word)
    except ValueError:
        part = 0.0
    if not 0 < part <= 1:  # nor what is no number
        raise argparse.ArgumentTypeError(f"{word}: must be a number in (0, 1]")
    return part


def _field(word: str) -> tuple[str, Any]:
    """A field's name and value: what Python reads it as, else the word itself."""
    key, equals, value = word.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{word}: must be KEY=VALUE")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value
