"""``lvt export``, ``lvt delegates`` and ``lvt recipe``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from lvt_core.checkpoint.architecture import BACKBONE_ONLY, POOLED, SEGFORMER, TOKENS
from lvt_core.errors import UserError
from lvt_core.export.folder import require_replaceable
from lvt_core.export.gate.choose import choose_gate
from lvt_core.export.gate.labelled import LABELLED, JudgedImages
from lvt_core.export.job import Export
from lvt_core.export.options import (
    PANOPTIC,
    Network,
    delegates_request,
    export_request,
    recipe_request,
)
from lvt_core.export.panoptic.labelled import PanopticImages
from lvt_core.export.panoptic.write import export_panoptic, panoptic_delegates
from lvt_core.export.recipe.file import read_recipe, write_recipe
from lvt_core.export.recipe.search import search_recipe
from lvt_core.export.runtimes.delegates import Delegation
from lvt_core.export.write import delegates_of, export_model
from lvt_core.files import require_writable_folder
from lvt_core.predict.open_model import Opened, open_model
from lvt_core.predict.open_panoptic import PanopticNetwork, open_panoptic
from lvt_core.predict.panoptic_parts import settings_of
from lvt_core.segformer import SegFormer, SegFormerLabels

logger = logging.getLogger(__name__)

CROP_PCT = 0.96  # the published classifier's
DENSE_SIDE, CLASSIFIER_SIDE = 512, 224
OUTPUTS = {TOKENS: "logits", POOLED: "logits", SEGFORMER: "logits", BACKBONE_ONLY: "maps"}
CLASSIFIERS = (TOKENS, POOLED)
PICTURES = ("mean", "std", "interpolation", "crop_mode", "exif")  # facts that an export takes over


@dataclass(frozen=True)
class Prepared:
    """A network that is ready to be exported.

    Attributes:
        export: Description of the export.
        model: Network.
        data: Labelled images of its task, if they were given.
    """

    export: Export
    model: nn.Module
    data: JudgedImages | None


def run_export(arguments: argparse.Namespace) -> None:
    """Export a network.

    Raises:
        UserError: An argument or a file is wrong, or the export is not good enough.
    """
    request = export_request(arguments)
    network = request.network
    if network.config is not None:
        folder = request.folder(PANOPTIC)
        require_replaceable(folder)
        opened, size, images = _prepare_panoptic(network)
        scores = export_panoptic(
            opened, size, network.runtime, folder, precision=network.precision, data=images
        )
        print(f"{folder}: {PANOPTIC} for {network.runtime.name}, {network.precision}; {scores}")
        return
    opened_model = _open(network)
    folder = request.folder(f"{opened_model.name}-labels" if network.labels else opened_model.name)
    require_replaceable(folder)
    prepared = _prepare(network, opened_model)
    recipe = read_recipe(request.recipe) if request.recipe else None
    before = _before(request.before, network, opened_model) if request.before is not None else None
    checked = export_model(
        prepared.model,
        prepared.export,
        network.runtime,
        folder,
        gate=choose_gate(prepared.export, network.runtime, data=prepared.data, before=before),
        recipe=recipe,
        calibration=_calibration(prepared),
    )
    print(f"{folder}: {opened_model.name} for {network.runtime.name}, {network.precision}; {checked}")


def run_delegates(arguments: argparse.Namespace) -> None:
    """List the operators that accelerators' delegates leave to the runtime; nothing is written.

    Raises:
        UserError: An argument or a file is wrong, or the runtime has no delegates.
    """
    request = delegates_request(arguments)
    network = request.network
    if network.config is not None:
        opened, size, images = _prepare_panoptic(network)
        by_part = panoptic_delegates(opened, size, network.runtime, precision=network.precision, data=images)
        for part, delegations in by_part.items():
            _print_delegates(network, f"{PANOPTIC}'s {part}", delegations)
        return
    prepared = _prepare(network, _open(network))
    recipe = read_recipe(request.recipe) if request.recipe else None
    delegations = delegates_of(
        prepared.model, prepared.export, network.runtime, recipe=recipe, calibration=_calibration(prepared)
    )
    _print_delegates(network, prepared.export.name, delegations)


def run_recipe(arguments: argparse.Namespace) -> None:
    """Search for a recipe with as few parts in float as pass, and write it.

    Raises:
        UserError: An argument or a file is wrong, or no recipe passes.
    """
    request = recipe_request(arguments)
    require_writable_folder(request.output.parent)  # before minutes of search
    prepared = _prepare(request.network, _open(request.network))
    assert prepared.data is not None  # recipe_request
    result = search_recipe(
        prepared.model,
        prepared.export,
        request.network.runtime,
        prepared.data,
        activations=request.activations,
    )
    write_recipe(request.output, result.recipe, result.record)
    floats = ", ".join(result.recipe.floats) or "nothing"
    print(f"{request.output}: activations {result.recipe.activations}, {floats} in float")


def _open(network: Network) -> Opened:
    return open_model(network.source, use_ema=network.use_ema, model_kwargs=network.model_kwargs)


def _prepare(network: Network, opened: Opened) -> Prepared:
    """Describe the export of an opened network, and open the labelled images of its task.

    Raises:
        UserError: An option does not apply to this network, or the images do not fit it.
    """
    config: Any = opened.model.config
    export = Export(
        opened.name,
        _size(network, opened),
        network.dynamic,
        network.precision,
        opened.classes,
        opened.palette,
        outputs="labels" if network.labels else OUTPUTS[opened.name],
        num_classes=None if opened.name == BACKBONE_ONLY else config.num_classes,
        first_class=opened.facts.first_class,
        mask_values=_mask_values(opened),
        channels=config.in_chans,
        batch=network.batch or 1,
        free_batch=network.batch is None,
        opset=network.opset,
        **_preprocessing(network, opened, config.in_chans),
    )
    if opened.name not in LABELLED and (network.precision != "fp32" or network.data):
        raise UserError(f"{opened.name}: has no task to judge it by; export it in fp32 and without --data")
    model = _with_labels(opened.model, opened.name) if network.labels else opened.model
    data = _labelled(network, export, config.num_classes, opened) if network.data else None
    return Prepared(export, model, data)


def _with_labels(model: nn.Module, name: str) -> nn.Module:
    if not isinstance(model, SegFormer):
        raise UserError(f"--labels: only applies to a SegFormer; this is {name}")
    return SegFormerLabels(model)


def _size(network: Network, opened: Opened) -> tuple[int, int]:
    """Return the size that the command line names, else the checkpoint's, else the task's."""
    size = opened.facts.pictures.get("input_size")
    if size is None:
        return network.size_or(DENSE_SIDE if opened.name == SEGFORMER else CLASSIFIER_SIDE)
    stored = (size[1], size[2])
    if network.size not in (None, stored):
        logger.warning("note: --size overrides what %s was trained with: %d %d", network.source, *stored)
    elif network.size is None:
        logger.info("from %s: --size %d %d", network.source, *stored)
    return network.size or stored


def _crop_pct(network: Network, opened: Opened) -> float:
    """Return the part that the command line names, else the checkpoint's, else the published one."""
    stored = opened.facts.pictures.get("crop_pct")
    if None not in (stored, network.crop_pct) and stored != network.crop_pct:
        note = "note: --crop-pct %s overrides what %s was trained with: %s"
        logger.warning(note, network.crop_pct, network.source, stored)
    return network.crop_pct or stored or CROP_PCT


def _preprocessing(network: Network, opened: Opened, channels: int) -> dict[str, Any]:
    """Return the fields of `Export` on preprocessing that differ from its defaults.

    Raises:
        UserError: The network has no crop.
    """
    fields: dict[str, Any] = {}
    if channels != 3:  # there is no published mean and deviation: values stay unchanged
        fields |= {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    if opened.name in CLASSIFIERS:
        stored = {key: opened.facts.pictures.get(key) for key in PICTURES}
        stored = {key: value for key, value in stored.items() if value is not None}
        return {"interpolation": "bicubic", **stored, **fields, "crop_pct": _crop_pct(network, opened)}
    if network.crop_pct is not None:
        raise UserError(f"--crop-pct {network.crop_pct}: only applies to a classifier; this is {opened.name}")
    return fields


def _before(checkpoint: str, network: Network, opened: Opened) -> nn.Module:
    """Open the network as it was before its fine-tuning for int8.

    Raises:
        UserError: The checkpoint contains another network.
    """
    before = open_model(checkpoint, model_kwargs=network.model_kwargs)
    kinds = [(each.name, each.model.config.num_classes) for each in (before, opened)]  # type: ignore[union-attr]
    if kinds[0] != kinds[1]:
        (name, classes), (wanted, number) = kinds
        raise UserError(
            f"--before {checkpoint}: contains {name} with {classes} classes, must be {wanted} with {number}"
        )
    return _with_labels(before.model, before.name) if network.labels else before.model


def _labelled(network: Network, export: Export, num_classes: int, opened: Opened) -> JudgedImages:
    """Open the labelled images of a model's task."""
    if export.channels != 3:
        raise UserError(
            f"--data {network.data}: its images have 3 channels, the network's input has {export.channels}"
        )
    options: dict[str, Any] = {"mean": export.mean, "std": export.std, "limit": network.limit}
    if export.name in CLASSIFIERS:
        options |= {"crop_pct": export.crop_pct, "class_to_idx": opened.facts.class_to_idx}
        options |= {key: getattr(export, key) for key in ("interpolation", "crop_mode", "exif")}
    else:
        options |= {"first_class": opened.first_class, "mask_values": _mask_values(opened)}
    return LABELLED[export.name](network.data, export.size, num_classes=num_classes, **options)


def _mask_values(opened: Opened) -> Sequence[int] | None:
    """Return the value of each class in masks, if the checkpoint lists as many as the network has classes."""
    values, config = opened.facts.mask_values, opened.model.config
    return values if values and len(values) == config.num_classes else None  # type: ignore[union-attr]


def _calibration(prepared: Prepared) -> list[Any]:
    if prepared.data is None or prepared.export.precision != "int8":
        return []
    return prepared.data.calibration()


def _prepare_panoptic(network: Network) -> tuple[PanopticNetwork, tuple[int, int], PanopticImages | None]:
    """Open a panoptic network, its size, and its labelled images."""
    assert network.config is not None
    if network.dynamic:
        raise UserError("--size dynamic: a panoptic export has one size")
    size = network.size_or(DENSE_SIDE)
    opened = open_panoptic(network.config, network.source)
    if network.data is None:
        return opened, size, None
    settings = settings_of(opened, size)
    images = PanopticImages(
        network.data,
        size,
        classes=opened.classes,
        num_things=opened.num_things,
        pad_value=settings["pad_value"],
        mean=settings["mean"],
        std=settings["std"],
        limit=network.limit,
    )
    return opened, size, images


def _print_delegates(network: Network, name: str, delegations: dict[str, Delegation]) -> None:
    for delegate, delegation in delegations.items():
        print(f"{name} for {network.runtime.name}, {network.precision}: {delegate} {delegation}")
