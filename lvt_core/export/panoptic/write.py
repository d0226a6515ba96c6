"""Panoptic FPN for runtimes: three networks, each exported like any other, and numpy between them.

`lvt_predict.panoptic` does the steps between the networks; it is judged together with them, by mmdetection's
own maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.folder import export_folder
from lvt_core.export.forms.graph import Outputs
from lvt_core.export.gate.labelled import first_images, spread
from lvt_core.export.gate.parity import LOOSE, TOLERANCE, run_model
from lvt_core.export.gate.scores import Scores
from lvt_core.export.job import Export, Runtime, require_supported
from lvt_core.export.panoptic.gate import PartGate, judge, require_good
from lvt_core.export.panoptic.labelled import PanopticImages
from lvt_core.export.runtimes.delegates import Delegation
from lvt_core.export.write import delegates_of, export_model, write_manifest
from lvt_core.predict.open_panoptic import PanopticNetwork
from lvt_core.predict.panoptic_parts import part_inputs, settings_of, split
from lvt_predict.panoptic import PARTS, PanopticModel, PanopticPipeline
from lvt_predict.sample import photograph

NAME = "panoptic"
DIVISOR = 32  # mmdetection pads images to multiples of it
CHECKED_IMAGES = 4
HEAD_CALIBRATION_IMAGES = 16  # features of a thousand boxes each

Inputs = dict[str, list[np.ndarray]]


def export_panoptic(
    network: PanopticNetwork,
    size: tuple[int, int],
    runtime: Runtime,
    folder: Path,
    *,
    precision: str = "fp32",
    data: PanopticImages | None = None,
) -> Scores:
    """Write a panoptic network for a runtime, once its maps are mmdetection's.

    The folder appears whole, with ``model.json`` beside the folders of the parts, or not at all.

    Args:
        network: Network that `open_panoptic` opened.
        size: Height and width of its input, multiples of 32; images are padded to it.
        runtime: Runtime to export to.
        folder: Folder to write; an earlier export is replaced.
        precision: Precision, out of `PRECISIONS`.
        data: Labelled images; without them float32 maps are compared with mmdetection's on noise.

    Returns:
        Result of the gate.

    Raises:
        UserError: The network has an unknown part, the runtime is not installed or does not support the
            export, or the maps differ.
    """
    settings, exports = _plan(network, size, precision)
    require_supported(exports["trunk"], runtime)
    if precision != "fp32" and data is None:
        raise UserError(f"--precision {precision}: requires --data FOLDER, which judges it")
    with export_folder(folder) as work:
        parts = split(network.model)
        calibration = _calibration(parts, settings, data) if precision == "int8" and data else {}
        samples = [photograph(1, *size, seed=seed) for seed in range(CHECKED_IMAGES)]
        if data is not None:
            samples += first_images(data, CHECKED_IMAGES)
        inputs = {"trunk": samples, **_head_inputs(parts, settings, samples)}
        tolerance = TOLERANCE if precision == "fp32" else LOOSE
        for name in reversed(PARTS):  # the small ones first, so that errors come early
            export_model(
                parts[name],
                exports[name],
                runtime,
                work / name,
                gate=PartGate(inputs[name], tolerance),
                calibration=calibration.get(name, []),
            )
        content = {
            "model": NAME,
            "task": "panoptic",
            "runtime": runtime.name,
            "precision": precision,
            "file": PARTS[0],
            **settings,
            "classes": list(network.classes),
            "palette": network.palette,
        }
        write_manifest(work, runtime, content, None)
        exported = PanopticModel(work, trust=True)  # written here
        scores = judge(network, exported, data, samples)
        require_good(scores, precision, runtime.name)
        del exported  # some runtimes keep the files open
        write_manifest(work, runtime, content, scores)
    return scores


def panoptic_delegates(
    network: PanopticNetwork,
    size: tuple[int, int],
    runtime: Runtime,
    *,
    precision: str = "fp32",
    data: PanopticImages | None = None,
) -> dict[str, dict[str, Delegation]]:
    """Report how much of each part accelerators' delegates take; nothing is written.

    The arguments are those of `export_panoptic`; only int8 requires `data`.

    Returns:
        Delegations by part and by delegate.

    Raises:
        UserError: `export_panoptic` would reject the network, or the runtime has no delegates.
    """
    settings, exports = _plan(network, size, precision)
    parts = split(network.model)
    calibration = _calibration(parts, settings, data) if precision == "int8" and data else {}
    return {
        name: delegates_of(parts[name], exports[name], runtime, calibration=calibration.get(name, ()))
        for name in PARTS
    }


def _plan(
    network: PanopticNetwork, size: tuple[int, int], precision: str
) -> tuple[dict[str, Any], dict[str, Export]]:
    """Return the settings of the whole, and the description of each part's export.

    Raises:
        UserError: The network does not support the size, or has an unknown part.
    """
    if any(side % DIVISOR for side in size):
        raise UserError(
            f"--size {size[0]} {size[1]}: must be multiples of {DIVISOR}, because images are padded to them"
        )
    settings = settings_of(network, size)
    mean, std = settings["mean"], settings["std"]
    exports = {"trunk": Export(f"{NAME}_trunk", size, precision=precision, mean=mean, std=std)}
    for name, kind in (("box_head", "boxes"), ("mask_head", "masks")):
        side = settings[kind]["roi_size"]
        exports[name] = Export(
            f"{NAME}_{name}",
            (side, side),
            precision=precision,
            batch=settings[kind]["batch"],
            channels=settings["roi"]["channels"],
            min_size=side,
            input="features",
        )
    return settings, exports


def _calibration(parts: dict[str, nn.Module], settings: dict[str, Any], data: PanopticImages) -> Inputs:
    """Return the inputs that calibrate each part.

    Raises:
        UserError: The network finds no thing in the images.
    """
    images = data.calibration()
    chosen = [images[i] for i in spread(len(images), HEAD_CALIBRATION_IMAGES)]
    heads = _head_inputs(parts, settings, chosen)
    if len(heads["mask_head"]) == 1:  # only the noise
        raise UserError(
            f"--data {data.root}: the network finds no thing in {len(chosen)} training images, which must "
            "calibrate int8 of its mask head"
        )
    return {"trunk": images, **heads}


def _head_inputs(
    parts: dict[str, nn.Module], settings: dict[str, Any], images: Sequence[np.ndarray]
) -> Inputs:
    """Return the inputs of the heads on some images, and noise of the same strength."""
    inputs: Inputs = {"box_head": [], "mask_head": []}

    def recorded(name: str) -> Callable[[np.ndarray], Sequence[np.ndarray]]:
        network = Outputs(parts[name])

        def run(features: np.ndarray) -> Sequence[np.ndarray]:
            inputs[name].append(features)
            return run_model(network, features)

        return run

    trunk = partial(run_model, Outputs(parts["trunk"]))
    heads = {name: recorded(name) for name in inputs}
    pipeline = PanopticPipeline(settings, {"trunk": trunk, **heads})
    for image in images:
        pipeline(image)
    # Both heads see the same maps; on images without a thing, such as noise, the mask head has no input.
    strength = np.concatenate([value.ravel() for value in inputs["box_head"]]).std() or 1
    for name, features in inputs.items():
        noise = np.random.default_rng(0).normal(size=part_inputs(settings)[name])
        features.append((noise * strength).astype(np.float32))
    return inputs
