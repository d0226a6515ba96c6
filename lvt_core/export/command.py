"""``lvt export``: a network for another runtime."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from timm.utils import ParseKwargs
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export import BFLOAT16, PRECISIONS, RUNTIMES, Export, check_delegates, export_model
from lvt_core.export.delegates import Delegation
from lvt_core.export.folder import require_replaceable
from lvt_core.export.labelled import LABELLED, Labelled
from lvt_core.export.labelled_panoptic import PanopticImages
from lvt_core.export.open_model import MODELS, open_model
from lvt_core.export.open_panoptic import open_panoptic
from lvt_core.export.panoptic import NAME, check_panoptic, export_panoptic
from lvt_core.export.panoptic_parts import settings_of
from lvt_core.export.recipe import ACTIVATIONS, Recipe, read_recipe, write_recipe
from lvt_core.export.sensitivity import search_recipe
from lvt_core.files import require_writable_folder
from lvt_core.segformer import SegFormer, SegFormerLabels

CROP_PCT = 0.96  # of the published classifier
OUTPUTS = {"lvt_cls": "logits", "segformer": "logits", "lvt": "maps"}
NOT_PANOPTIC = ("labels", "recipe", "before", "search", "use_ema", "model_kwargs", "crop_pct")


def add_export(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("source", help=f"{', '.join(MODELS)}, or a checkpoint of one of them")
    parser.add_argument("--to", choices=tuple(RUNTIMES), required=True)
    parser.add_argument(
        "--size", nargs="+", default=["224"], metavar="PIXELS", help="a side, height and width, or 'dynamic'"
    )
    parser.add_argument(
        "--model-kwargs",
        nargs="*",
        default={},
        action=ParseKwargs,
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
    parser.add_argument("--crop-pct", type=float, help="part of an image that a classifier's crop keeps")
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


def run_export(arguments: argparse.Namespace) -> None:
    """Do what is asked.

    Raises:
        UserError: An argument or a file is wrong, or the export is not good enough.
    """
    _require_sensible(arguments)
    if arguments.task == "panoptic":
        _export_panoptic(arguments)
        return
    name, model, classes, palette = open_model(
        arguments.source, use_ema=arguments.use_ema, model_kwargs=arguments.model_kwargs
    )
    config: Any = model.config
    size, dynamic = _size(arguments.size, default=512 if name == "segformer" else 224)
    title = f"{name}-labels" if arguments.labels else name
    folder = Path(arguments.output or f"exports/{title}-{arguments.to}-{arguments.precision}")
    export = Export(
        name,
        size,
        dynamic,
        arguments.precision,
        classes,
        palette,
        outputs="labels" if arguments.labels else OUTPUTS[name],
        channels=config.in_chans,
        **_preprocessing(arguments, name),
    )
    if arguments.labels:
        if not isinstance(model, SegFormer):
            raise UserError(f"--labels: {name} has no pixels' classes; a SegFormer has")
        model = SegFormerLabels(model)
    if name not in LABELLED and (export.precision != "fp32" or arguments.data):
        raise UserError(f"{name} has no task to be judged by: --precision fp32 without --data alone")
    if not arguments.check:
        require_replaceable(folder)
    data = _labelled(arguments, export, config.num_classes) if arguments.data else None
    runtime = RUNTIMES[arguments.to]
    recipe = read_recipe(name, arguments.to, arguments.recipe) if arguments.recipe else None
    if arguments.check:
        calibration = data.calibration() if data and export.precision == "int8" else None
        found = check_delegates(model, export, runtime, recipe=recipe, calibration=calibration)
        _print_delegates(arguments, name, found)
        return
    before = _before(arguments, name, config.num_classes) if arguments.before else None
    if arguments.search and data:
        recipe = _search(arguments, model, export, data)
    checked = export_model(model, export, runtime, folder, data=data, recipe=recipe, before=before)
    print(f"{folder}: {name} for {arguments.to}, {arguments.precision}; {checked}")


def _require_sensible(arguments: argparse.Namespace) -> None:
    """Refuse options that could not act.

    Raises:
        UserError: There is one.
    """
    if (arguments.task is None) != (arguments.config is None):
        raise UserError("--task panoptic and --config FILE: must be given together")
    given = [option for option in NOT_PANOPTIC if arguments.task and getattr(arguments, option)]
    if given:
        raise UserError(f"--{given[0].replace('_', '-')}: not for a panoptic network")
    if (arguments.search or arguments.recipe or arguments.before) and arguments.precision != "int8":
        raise UserError("--search, --recipe and --before: need --precision int8")
    if arguments.search and (arguments.recipe or arguments.check):
        raise UserError("--search: not with --recipe, which it writes, or --check, which writes nothing")
    if arguments.before and (arguments.search or arguments.check):
        raise UserError(
            "--before: not with --search, which asks for agreement, or --check, which judges nothing"
        )
    if arguments.search and (arguments.data is None or arguments.search.is_dir()):
        raise UserError(f"--search {arguments.search}: must be a file to write, and needs --data FOLDER")
    if arguments.activations and not arguments.search:
        raise UserError("--activations: is of --search; a recipe has its own")
    if arguments.check and arguments.output:
        raise UserError("--check: writes nothing, so it takes no --output")
    if arguments.data is None and (arguments.limit or arguments.crop_pct):
        raise UserError("--limit and --crop-pct: are of --data FOLDER")
    if arguments.use_ema and arguments.source in MODELS:
        raise UserError(f"--use-ema: {arguments.source} is no checkpoint")


def _preprocessing(arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    if name == "lvt_cls":
        return {"interpolation": "bicubic", "crop_pct": arguments.crop_pct or CROP_PCT}
    if arguments.crop_pct:
        raise UserError(f"--crop-pct: is of a classifier; this is {name}")
    return {}


def _before(arguments: argparse.Namespace, name: str, num_classes: int) -> nn.Module:
    """What the network was before it was fine-tuned for int8.

    Raises:
        UserError: It is another one.
    """
    before = open_model(arguments.before, model_kwargs=arguments.model_kwargs)
    config: Any = before.model.config
    if (before.name, config.num_classes) != (name, num_classes):
        raise UserError(
            f"--before {arguments.before}: is {before.name} of {config.num_classes} classes, must be {name} "
            f"of {num_classes}"
        )
    return SegFormerLabels(before.model) if arguments.labels else before.model  # type: ignore[arg-type]


def _search(arguments: argparse.Namespace, model: nn.Module, export: Export, data: Labelled) -> Recipe:
    """A recipe for this network, which the gate has yet to judge."""
    require_writable_folder(arguments.search.parent)
    found = search_recipe(model, export, RUNTIMES[arguments.to], data, activations=arguments.activations)
    write_recipe(arguments.search, found.recipe, found.record)
    floats = ", ".join(found.recipe.floats) or "nothing"
    print(f"{arguments.search}: activations {found.recipe.activations}, {floats} in float")
    return found.recipe


def _export_panoptic(arguments: argparse.Namespace) -> None:
    size, dynamic = _size(arguments.size, default=512)
    if dynamic:
        raise UserError("--size dynamic: a panoptic export takes one size")
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
    if arguments.check:
        found = check_panoptic(network, size, RUNTIMES[to], precision=precision, data=data)
        for part, delegations in found.items():
            _print_delegates(arguments, f"{NAME}'s {part}", delegations)
        return
    folder = Path(arguments.output or f"exports/{NAME}-{to}-{precision}")
    checked = export_panoptic(network, size, RUNTIMES[to], folder, precision=precision, data=data)
    print(f"{folder}: {NAME} for {to}, {precision}; {checked}")


def _print_delegates(arguments: argparse.Namespace, name: str, found: dict[str, Delegation]) -> None:
    for delegate, delegation in found.items():
        print(f"{name} for {arguments.to}, {arguments.precision}: {delegate} {delegation}")


def _labelled(arguments: argparse.Namespace, export: Export, num_classes: int) -> Labelled:
    """The labelled images of a model's task."""
    if export.channels != 3:
        raise UserError(
            f"--data {arguments.data}: its images have 3 channels, the network takes {export.channels}"
        )
    options: dict[str, Any] = {"mean": export.mean, "std": export.std, "limit": arguments.limit}
    if export.name == "lvt_cls":
        options |= {"crop_pct": export.crop_pct, "classes": export.classes}
    return LABELLED[export.name](arguments.data, export.size, num_classes=num_classes, **options)


def _size(words: Sequence[str], *, default: int) -> tuple[tuple[int, int], bool]:
    """Height and width, and whether they are free."""
    if list(words) == ["dynamic"]:
        return (default, default), True
    if len(words) > 2 or not all(word.isdigit() for word in words):
        raise UserError(f"--size {' '.join(words)}: must be a side, height and width, or 'dynamic'")
    return (int(words[0]), int(words[-1])), False


def _count(word: str) -> int:
    """A number of images, at least one."""
    count = int(word)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count}: must be at least 1")
    return count
