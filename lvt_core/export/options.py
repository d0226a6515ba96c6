"""The options of ``lvt export``, ``lvt delegates`` and ``lvt recipe``, and the typed requests they become."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvt_core.checkpoint.arguments import add_use_ema
from lvt_core.errors import UserError, key_value
from lvt_core.export.argument_types import ANY, batch, count, part
from lvt_core.export.job import BFLOAT16, PRECISIONS, Runtime
from lvt_core.export.recipe.file import ACTIVATIONS
from lvt_core.export.runtimes.onnx import OPSET
from lvt_core.export.runtimes.table import RUNTIMES
from lvt_core.predict.open_model import MODELS

PANOPTIC = "panoptic"
NOT_PANOPTIC = ("labels", "recipe", "before", "use_ema", "model_kwargs", "crop_pct", "batch", "opset")


@dataclass(frozen=True)
class Network:
    """The network that a command works on, and the images that judge it.

    Attributes:
        source: Name of a model, or a checkpoint.
        runtime: Runtime to convert to.
        size: Height and width; ``None`` for the task's default.
        dynamic: Batches and sizes are free.
        precision: Precision, out of `PRECISIONS` or `BFLOAT16`.
        data: Folder of labelled images.
        limit: Most images to judge on.
        crop_pct: Part of an image that a classifier's crop keeps.
        model_kwargs: Fields of `LVTConfig` that differ from the published ones.
        use_ema: Take the moving average; ``None`` takes it where there is one.
        labels: Export a segmentor whose output is the class of each pixel.
        config: mmdetection's config of a panoptic network; ``None`` for the other tasks.
        batch: Images at a time; ``None`` for any number.
        opset: Version of ONNX's operators; ``None`` for the runtime's default.
    """

    source: str
    runtime: Runtime
    size: tuple[int, int] | None
    dynamic: bool
    precision: str
    data: Path | None
    limit: int | None
    crop_pct: float | None
    model_kwargs: Mapping[str, Any]
    use_ema: bool | None
    labels: bool
    config: Path | None
    batch: int | None = 1
    opset: int | None = None

    def size_or(self, default: int) -> tuple[int, int]:
        """Return the size, or a square of the default side."""
        return self.size or (default, default)


@dataclass(frozen=True)
class ExportRequest:
    """The request of ``lvt export``.

    Attributes:
        network: Network to export.
        output: Folder to write; ``None`` for ``exports/NAME-RUNTIME-PRECISION``.
        recipe: File of an int8 recipe; ``None`` for the runtime's default.
        before: Checkpoint of the network before its fine-tuning for int8, whose score must be kept.
    """

    network: Network
    output: Path | None
    recipe: Path | None
    before: str | None

    def folder(self, title: str) -> Path:
        """Return the folder to write."""
        return self.output or Path(f"exports/{title}-{self.network.runtime.name}-{self.network.precision}")


@dataclass(frozen=True)
class DelegatesRequest:
    """The request of ``lvt delegates``.

    Attributes:
        network: Network to convert.
        recipe: File of an int8 recipe; ``None`` for the runtime's default.
    """

    network: Network
    recipe: Path | None


@dataclass(frozen=True)
class RecipeRequest:
    """The request of ``lvt recipe``.

    Attributes:
        network: Network to search a recipe for; its precision is int8.
        output: File to write.
        activations: Kinds to try, in this order; empty for all that the runtime supports.
    """

    network: Network
    output: Path
    activations: tuple[str, ...]


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lvt export``."""
    _add_network(parser)
    _add_precision(parser)
    _add_panoptic(parser)
    _add_recipe(parser)
    parser.add_argument(
        "--batch", type=batch, help="images at a time, or 'dynamic' for any number; default: 1"
    )
    parser.add_argument("--opset", type=count, help=f"version of ONNX's operators; default: {OPSET}")
    parser.add_argument(
        "--before",
        metavar="CHECKPOINT",
        help="int8: the network before --quantization-aware, whose score must be kept",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="default: exports/NAME-RUNTIME-PRECISION"
    )


def add_delegates(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lvt delegates``."""
    _add_network(parser)
    _add_precision(parser)
    _add_panoptic(parser)
    _add_recipe(parser)


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lvt recipe``."""
    _add_network(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", required=True, help="recipe to write (JSON)")
    parser.add_argument(
        "--activations",
        nargs="+",
        choices=ACTIVATIONS,
        default=(),
        help="kinds to try, in this order; default: all that the runtime supports",
    )
    parser.set_defaults(precision="int8", task=None, config=None)


def export_request(arguments: argparse.Namespace) -> ExportRequest:
    """Check the arguments of ``lvt export``.

    Raises:
        UserError: An option cannot act.
    """
    _reject_idle(arguments, ("recipe", "before"))
    return ExportRequest(_network(arguments), arguments.output, arguments.recipe, arguments.before)


def delegates_request(arguments: argparse.Namespace) -> DelegatesRequest:
    """Check the arguments of ``lvt delegates``.

    Raises:
        UserError: An option cannot act.
    """
    _reject_idle(arguments, ("recipe",))
    return DelegatesRequest(_network(arguments), arguments.recipe)


def recipe_request(arguments: argparse.Namespace) -> RecipeRequest:
    """Check the arguments of ``lvt recipe``.

    Raises:
        UserError: An option cannot act, or the output is a folder.
    """
    _reject_idle(arguments, ())
    if arguments.data is None:
        raise UserError("--data: is required; its training images rank and judge the recipes")
    if arguments.output.is_dir():
        raise UserError(f"--output {arguments.output}: is a folder; name a file")
    return RecipeRequest(_network(arguments), arguments.output, tuple(arguments.activations))


def size_of(words: Sequence[str] | None) -> tuple[tuple[int, int] | None, bool]:
    """Read ``--size``: height and width, or ``None`` for the default, and whether sizes are free.

    Raises:
        UserError: The words are not a size.
    """
    if words is None or list(words) == ["dynamic"]:
        return None, words is not None
    if len(words) > 2 or not all(word.isdecimal() for word in words):
        raise UserError(f"--size {' '.join(words)}: must be a side, height and width, or 'dynamic'")
    return (int(words[0]), int(words[-1])), False


def _network(arguments: argparse.Namespace) -> Network:
    size, dynamic = size_of(arguments.size)
    images = getattr(arguments, "batch", None)
    return Network(
        source=arguments.source,
        runtime=RUNTIMES[arguments.to],
        size=size,
        dynamic=dynamic,
        precision=arguments.precision,
        data=arguments.data,
        limit=arguments.limit,
        crop_pct=arguments.crop_pct,
        model_kwargs=dict(arguments.model_kwargs or ()),
        use_ema=arguments.use_ema,
        labels=bool(arguments.labels),
        config=arguments.config,
        batch=None if images == ANY else images or 1,
        opset=getattr(arguments, "opset", None),
    )


def _reject_idle(arguments: argparse.Namespace, int8: Sequence[str]) -> None:
    """Reject options that cannot act; those of `int8` only apply to int8."""
    if (arguments.task is None) != (arguments.config is None):
        raise UserError("--task panoptic and --config FILE: pass both or neither")
    if arguments.task is not None:
        for option in NOT_PANOPTIC:
            if getattr(arguments, option, None) is not None:
                raise UserError(f"--{option.replace('_', '-')}: does not apply to a panoptic network")
    for option in int8:
        if getattr(arguments, option) is not None and arguments.precision != "int8":
            raise UserError(f"--{option} {getattr(arguments, option)}: only applies with --precision int8")
    if getattr(arguments, "batch", None) is not None and arguments.size == ["dynamic"]:
        raise UserError("--batch: does not apply with --size dynamic, which takes any number of images")
    if arguments.limit is not None and arguments.data is None:
        raise UserError(f"--limit {arguments.limit}: only applies with --data FOLDER")
    if arguments.use_ema is not None and arguments.source in MODELS:
        raise UserError(f"--use-ema: {arguments.source} is not a checkpoint")


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help=f"{', '.join(MODELS)}, or a checkpoint of one of them")
    parser.add_argument("--to", choices=tuple(RUNTIMES), required=True, help="runtime")
    parser.add_argument(
        "--size",
        nargs="+",
        metavar="PIXELS",
        help="a side, height and width, or 'dynamic'; default: the checkpoint's, else 512 (dense) or 224",
    )
    parser.add_argument(
        "--model-kwargs",
        nargs="*",
        type=key_value,
        metavar="KEY=VALUE",
        help="fields of a variant, such as num_heads=(1,2,4,8), that the checkpoint does not tell",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="labelled images in the layout of the task's recipe, which compare, judge and calibrate",
    )
    parser.add_argument(
        "--crop-pct",
        type=part,
        help="part of an image that a classifier's crop keeps; default: the checkpoint's, else 0.96",
    )
    parser.add_argument("--limit", type=count, help="most images to judge on")
    parser.add_argument(
        "--labels",
        action="store_true",
        default=None,
        help="segmentation: output each pixel's class instead of logits",
    )
    add_use_ema(parser)


def _add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=(*PRECISIONS, BFLOAT16),
        default="fp32",
        help="type of the numbers in the file; default: fp32",
    )


def _add_panoptic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", choices=(PANOPTIC,), help="a panoptic network; requires --config")
    parser.add_argument("--config", type=Path, metavar="FILE", help="mmdetection's config of the network")


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe", type=Path, metavar="FILE", help="int8: which layers stay in float; `lvt recipe` writes it"
    )
