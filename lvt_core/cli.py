"""The ``lvt`` command: ``lvt info``, ``lvt convert``, ``lvt export``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
from timm.utils import ParseKwargs
from torch import nn

from lvt_core.checkpoint import convert_checkpoint, load_checkpoint
from lvt_core.complexity import complexity
from lvt_core.errors import CommandParser, UserError, run_command
from lvt_core.export import BFLOAT16, PRECISIONS, RUNTIMES, Export, check_delegates, export_model
from lvt_core.export.labelled import LABELLED, Labelled
from lvt_core.export.labelled_panoptic import PanopticImages
from lvt_core.export.open_model import MODELS, open_model
from lvt_core.export.open_panoptic import open_panoptic
from lvt_core.export.panoptic import export_panoptic
from lvt_core.export.panoptic_parts import settings_of
from lvt_core.export.recipe import ACTIVATIONS, Recipe, read_recipe, write_recipe
from lvt_core.export.sensitivity import search_recipe
from lvt_core.files import require_writable_folder
from lvt_core.segformer import SegFormer, SegFormerLabels


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and run.

    Raises:
        UserError: An argument or a file is wrong.
    """
    parser = CommandParser(prog="lvt", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=CommandParser)

    info = commands.add_parser("info", help="parameters and multiply-adds of a model, by module")
    info.add_argument("model", help="lvt, lvt_cls, or any timm model")
    info.add_argument("--size", nargs="+", type=int, default=[224], metavar="PIXELS")
    info.add_argument("--depth", type=int, default=3, help="how deep to list modules")
    info.add_argument("--checkpoint", help="also check that it fits the model")

    convert = commands.add_parser(
        "convert", help="rewrite a checkpoint with our names or the original release's"
    )
    convert.add_argument("source")
    convert.add_argument("target", help="ends in .pth, .pth.tar, .pt or .safetensors")
    convert.add_argument("--to", choices=("lvt", "original"), default="lvt")
    convert.add_argument(
        "--backbone", action="store_true", help="the backbone alone: what dense tasks start from"
    )
    convert.add_argument("--use-ema", action="store_true", help="take the moving average")

    export = commands.add_parser("export", help="write a network for another runtime, if its outputs agree")
    export.add_argument("source", help=f"{', '.join(MODELS)}, or a checkpoint of one of them")
    export.add_argument("--to", choices=tuple(RUNTIMES), required=True)
    export.add_argument(
        "--size", nargs="+", default=["224"], metavar="PIXELS", help="a side, height and width, or 'dynamic'"
    )
    export.add_argument(
        "--model-kwargs",
        nargs="*",
        default={},
        action=ParseKwargs,
        metavar="KEY=VALUE",
        help="of a variant: num_heads=(1,2,4,8); depths and classes are read from the weights",
    )
    export.add_argument("--precision", choices=(*PRECISIONS, BFLOAT16), default="fp32")
    export.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="labelled images, laid out as the task's recipe has them: compared, judged, calibrated on",
    )
    export.add_argument("--crop-pct", type=float, help="part of an image that a classifier's crop keeps")
    export.add_argument("--limit", type=int, help="judge on this many images at most")
    export.add_argument("--recipe", type=Path, metavar="FILE", help="of int8: which layers stay in float")
    export.add_argument(
        "--labels", action="store_true", help="of segmentation: each pixel's class, not logits at a quarter"
    )
    export.add_argument(
        "--check",
        action="store_true",
        help="write nothing; list the operators that accelerators' delegates leave to the runtime",
    )
    export.add_argument(
        "--search",
        type=Path,
        metavar="FILE",
        help="of int8: find the recipe by each part's sensitivity and write it here (minutes)",
    )
    export.add_argument(
        "--activations",
        nargs="+",
        choices=ACTIVATIONS,
        default=(),
        help="of --search: kinds to try, in this order; default: all that the runtime has",
    )
    export.add_argument("--task", choices=("panoptic",), help="a panoptic network; needs --config")
    export.add_argument("--config", type=Path, metavar="FILE", help="mmdetection's, of a panoptic network")
    export.add_argument("--use-ema", action="store_true", help="take the moving average")
    export.add_argument("--output", metavar="FOLDER", help="default: exports/NAME-RUNTIME-PRECISION")

    arguments = parser.parse_args(argv)
    {"info": _info, "convert": _convert, "export": _export}[arguments.command](arguments)


def command() -> None:
    """Entry point of the shell command."""
    run_command(main)


def _info(arguments: argparse.Namespace) -> None:
    if len(arguments.size) > 2:
        raise UserError(f"--size {arguments.size}: must be a side, or height and width")
    try:
        model = timm.create_model(arguments.model)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{arguments.model}: {error}") from error
    if arguments.checkpoint:
        print(load_checkpoint(model, arguments.checkpoint))
    height, width = arguments.size[0], arguments.size[-1]
    print(f"{arguments.model}, one image of {height} x {width}")
    print(complexity(model, (height, width)).table(arguments.depth))


def _convert(arguments: argparse.Namespace) -> None:
    weights = convert_checkpoint(
        arguments.source,
        arguments.target,
        to=arguments.to,
        backbone=arguments.backbone,
        use_ema=arguments.use_ema,
    )
    params = sum(value.numel() for value in weights.values())
    print(f"{arguments.target}: {len(weights)} tensors, {params:,} values, {arguments.to} names")


def _export(arguments: argparse.Namespace) -> None:
    if arguments.search and (arguments.recipe or arguments.task):
        raise UserError("--search: not with --recipe, which it writes, or --task, whose parts have their own")
    if arguments.activations and not arguments.search:
        raise UserError("--activations: is of --search; a recipe has its own")
    if (arguments.task is None) != (arguments.config is None):
        raise UserError("--task panoptic and --config FILE: must be given together")
    if arguments.task == "panoptic":
        _export_panoptic(arguments)
        return
    name, model, classes = open_model(
        arguments.source, use_ema=arguments.use_ema, model_kwargs=arguments.model_kwargs
    )
    if arguments.labels:
        if not isinstance(model, SegFormer):
            raise UserError(f"--labels: {name} has no pixels' classes; a SegFormer has")
        model = SegFormerLabels(model)
    size, dynamic = _size(arguments.size, default=512 if name == "segformer" else 224)
    folder = Path(arguments.output or f"exports/{name}-{arguments.to}-{arguments.precision}")
    export = Export(name, size, dynamic, arguments.precision, classes)
    data = _labelled(arguments, export) if arguments.data else None
    runtime = RUNTIMES[arguments.to]
    recipe = read_recipe(name, arguments.to, arguments.recipe) if arguments.recipe else None
    if arguments.search:
        recipe = _search(arguments, model, export, data)
    if arguments.check:
        found = check_delegates(model, export, arguments.to, runtime, data=data, recipe=recipe)
        for delegate, delegation in found.items():
            print(f"{name} for {arguments.to}, {export.precision}: {delegate} {delegation}")
        return
    checked = export_model(model, export, arguments.to, runtime, folder, data=data, recipe=recipe)
    print(f"{folder}: {name} for {arguments.to}, {arguments.precision}; {checked}")


def _search(arguments: argparse.Namespace, model: nn.Module, export: Export, data: Labelled | None) -> Recipe:
    """A recipe for this network, which the gate has yet to judge."""
    if export.precision != "int8" or data is None:
        raise UserError("--search: needs --precision int8 and --data FOLDER")
    require_writable_folder(arguments.search.parent)
    found = search_recipe(
        model, export, arguments.to, RUNTIMES[arguments.to], data, activations=arguments.activations
    )
    write_recipe(arguments.search, found.recipe, found.record)
    floats = ", ".join(found.recipe.floats) or "nothing"
    print(f"{arguments.search}: activations {found.recipe.activations}, {floats} in float")
    return found.recipe


def _export_panoptic(arguments: argparse.Namespace) -> None:
    size, dynamic = _size(arguments.size, default=512)
    if dynamic:
        raise UserError("--size dynamic: a panoptic export takes one size")
    for option in ("labels", "check"):
        if getattr(arguments, option):
            raise UserError(f"--{option}: not for a panoptic network")
    if arguments.recipe:
        raise UserError("--recipe: a panoptic network's parts have recipes of their own")
    network = open_panoptic(arguments.config, arguments.source)
    settings = settings_of(network, size)
    data = None
    if arguments.data:
        data = PanopticImages(
            arguments.data,
            size,
            classes=network.classes,
            num_things=network.num_things,
            pad_value=settings["pad_value"],
            mean=settings["mean"],
            std=settings["std"],
            limit=arguments.limit,
        )
    to, precision = arguments.to, arguments.precision
    folder = Path(arguments.output or f"exports/panoptic-{to}-{precision}")
    checked = export_panoptic(network, size, to, RUNTIMES[to], folder, precision=precision, data=data)
    print(f"{folder}: panoptic for {to}, {precision}; {checked}")


def _labelled(arguments: argparse.Namespace, export: Export) -> Labelled:
    """The labelled images of a model's task."""
    if export.name not in LABELLED:
        raise UserError(f"--data: {export.name} has no task to be judged by; {', '.join(LABELLED)} have")
    options: dict[str, Any] = {"mean": export.mean, "std": export.std, "limit": arguments.limit}
    if export.name == "lvt_cls":
        options["crop_pct"] = arguments.crop_pct
    return LABELLED[export.name](arguments.data, export.size, **options)


def _size(words: Sequence[str], *, default: int) -> tuple[tuple[int, int], bool]:
    """Height and width, and whether they are free."""
    if list(words) == ["dynamic"]:
        return (default, default), True
    if len(words) > 2 or not all(word.isdigit() for word in words):
        raise UserError(f"--size {' '.join(words)}: must be a side, height and width, or 'dynamic'")
    return (int(words[0]), int(words[-1])), False
