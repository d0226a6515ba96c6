"""``lvt export``: a network for another runtime."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from torch import nn

from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, check_delegates, export_model
from lvt_core.export.folder import require_replaceable
from lvt_core.export.gate.labelled import LABELLED, Labelled
from lvt_core.export.open_model import open_model
from lvt_core.export.options import require_sensible, size_of
from lvt_core.export.panoptic.labelled import PanopticImages
from lvt_core.export.panoptic.open import open_panoptic
from lvt_core.export.panoptic.parts import settings_of
from lvt_core.export.panoptic.write import NAME, check_panoptic, export_panoptic
from lvt_core.export.recipe.recipe import Recipe, read_recipe, write_recipe
from lvt_core.export.recipe.search import search_recipe
from lvt_core.export.runtimes.delegates import Delegation
from lvt_core.files import require_writable_folder
from lvt_core.segformer import SegFormer, SegFormerLabels

CROP_PCT = 0.96  # of the published classifier
OUTPUTS = {"lvt_cls": "logits", "segformer": "logits", "lvt": "maps"}


def run_export(arguments: argparse.Namespace) -> None:
    """Do what is asked.

    Raises:
        UserError: An argument or a file is wrong, or the export is not good enough.
    """
    require_sensible(arguments)
    if arguments.task == "panoptic":
        _export_panoptic(arguments)
        return
    name, model, classes, palette, first_class = open_model(
        arguments.source, use_ema=arguments.use_ema, model_kwargs=dict(arguments.model_kwargs or ())
    )
    config: Any = model.config
    size, dynamic = size_of(arguments.size, default=512 if name == "segformer" else 224)
    title = f"{name}-labels" if arguments.labels else name
    folder = _folder(arguments, title)
    export = Export(
        name,
        size,
        dynamic,
        arguments.precision,
        classes,
        palette,
        outputs="labels" if arguments.labels else OUTPUTS[name],
        channels=config.in_chans,
        **_preprocessing(arguments, name, config.in_chans),
    )
    if arguments.labels:
        if not isinstance(model, SegFormer):
            raise UserError(f"--labels: {name} has no pixels' classes; a SegFormer has")
        model = SegFormerLabels(model)
    if name not in LABELLED and (export.precision != "fp32" or arguments.data):
        raise UserError(f"{name} has no task to be judged by: --precision fp32 without --data alone")
    if not arguments.check:
        require_replaceable(folder)
    if arguments.search is not None:  # its minutes must not be for nothing
        require_writable_folder(folder.parent)
        if arguments.search.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"--search {arguments.search}: must lie outside of --output {folder}")
    data = _labelled(arguments, export, config.num_classes, first_class) if arguments.data else None
    runtime = RUNTIMES[arguments.to]
    recipe = read_recipe(name, arguments.to, arguments.recipe) if arguments.recipe else None
    if arguments.check:
        calibration = data.calibration() if data and export.precision == "int8" else None
        found = check_delegates(model, export, runtime, recipe=recipe, calibration=calibration)
        _print_delegates(arguments, name, found)
        return
    before = _before(arguments, name, config.num_classes) if arguments.before is not None else None
    if arguments.search and data:
        recipe = _search(arguments, model, export, data)
    checked = export_model(model, export, runtime, folder, data=data, recipe=recipe, before=before)
    print(f"{folder}: {name} for {arguments.to}, {arguments.precision}; {checked}")


def _folder(arguments: argparse.Namespace, title: str) -> Path:
    if arguments.output is not None:
        return Path(arguments.output)
    return Path(f"exports/{title}-{arguments.to}-{arguments.precision}")


def _preprocessing(arguments: argparse.Namespace, name: str, channels: int) -> dict[str, Any]:
    """How a network's images are made, where `Export` does not say it.

    Raises:
        UserError: It takes no crop.
    """
    made: dict[str, Any] = {}
    if channels != 3:  # no published mean and deviation: values stay as they are
        made |= {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    if name == "lvt_cls":
        crop_pct = CROP_PCT if arguments.crop_pct is None else arguments.crop_pct
        return {**made, "interpolation": "bicubic", "crop_pct": crop_pct}
    if arguments.crop_pct is not None:
        raise UserError(f"--crop-pct: is of a classifier; this is {name}")
    return made


def _before(arguments: argparse.Namespace, name: str, num_classes: int) -> nn.Module:
    """What the network was before it was fine-tuned for int8.

    Raises:
        UserError: It is another one.
    """
    before = open_model(arguments.before, model_kwargs=dict(arguments.model_kwargs or ()))
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
    size, dynamic = size_of(arguments.size, default=512)
    if dynamic:
        raise UserError("--size dynamic: a panoptic export takes one size")
    folder = _folder(arguments, NAME)
    if not arguments.check:
        require_replaceable(folder)
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
    checked = export_panoptic(network, size, RUNTIMES[to], folder, precision=precision, data=data)
    print(f"{folder}: {NAME} for {to}, {precision}; {checked}")


def _print_delegates(arguments: argparse.Namespace, name: str, found: dict[str, Delegation]) -> None:
    for delegate, delegation in found.items():
        print(f"{name} for {arguments.to}, {arguments.precision}: {delegate} {delegation}")


def _labelled(arguments: argparse.Namespace, export: Export, num_classes: int, first_class: int) -> Labelled:
    """The labelled images of a model's task."""
    if export.channels != 3:
        raise UserError(
            f"--data {arguments.data}: its images have 3 channels, the network takes {export.channels}"
        )
    options: dict[str, Any] = {"mean": export.mean, "std": export.std, "limit": arguments.limit}
    if export.name == "lvt_cls":
        options |= {"crop_pct": export.crop_pct, "classes": export.classes}
    else:
        options["first_class"] = first_class
    return LABELLED[export.name](arguments.data, export.size, num_classes=num_classes, **options)
