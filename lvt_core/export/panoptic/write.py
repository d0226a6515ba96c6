"""Panoptic FPN for runtimes: three networks, each an export of its own, and numpy between them.

What lies between is `lvt_predict.panoptic`; it is judged together with the networks, by mmdetection's
own maps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.folder import require_replaceable, told_what_cannot_be_written
from lvt_core.export.forms.graph import Outputs
from lvt_core.export.gate import gate
from lvt_core.export.gate.gate import Scores, run_model
from lvt_core.export.gate.labelled import spread
from lvt_core.export.job import Export, Runtime, require_possible
from lvt_core.export.panoptic.gate import check_part, judge, require_good
from lvt_core.export.panoptic.labelled import PanopticImages
from lvt_core.export.panoptic.open import PanopticNetwork
from lvt_core.export.panoptic.parts import part_inputs, settings_of, split
from lvt_core.export.runtimes.delegates import Delegation
from lvt_core.export.write import check_delegates, export_model, versions
from lvt_core.files import new_folder, require_writable_folder
from lvt_predict.manifest import MANIFEST, sha256
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
    """Write a panoptic network for a runtime, once its maps are those of mmdetection.

    The folder appears whole, with ``model.json`` beside the parts' folders, or not at all.

    Args:
        network: What `open_panoptic` gives.
        size: Height and width of its input, multiples of 32; images are padded to it.
        runtime: Where to.
        folder: What to write; an earlier export that is there is replaced.
        precision: Of `PRECISIONS`.
        data: Labelled images; without them float32 maps are compared with mmdetection's on noise.

    Returns:
        What was checked, and found good.

    Raises:
        UserError: The network has something that is not known here, the runtime is not installed or cannot
            do what is asked, or the maps differ.
    """
    settings, exports = _plan(network, size, precision)
    require_possible(exports["trunk"], runtime, judged=data is not None)
    require_replaceable(folder)
    require_writable_folder(folder.parent)
    parts = split(network.model)
    calibration = _calibration(parts, settings, data) if precision == "int8" and data else {}
    samples = [photograph(1, *size, seed=seed) for seed in range(CHECKED_IMAGES)]
    if data is not None:
        samples += gate.first_images(data, CHECKED_IMAGES)
    checked = {"trunk": samples, **_head_inputs(parts, settings, samples)}
    tolerance = gate.TOLERANCE if precision == "fp32" else gate.LOOSE
    with told_what_cannot_be_written(folder), new_folder(folder) as work:
        for name in reversed(PARTS):  # the small ones first: what fails, fails early
            export_model(
                parts[name],
                exports[name],
                runtime,
                work / name,
                check=partial(check_part, inputs=checked[name], tolerance=tolerance),
                calibration=calibration.get(name, []),
            )
        write = partial(_write_manifest, work, settings, network, runtime, precision)
        write(None)
        exported = PanopticModel(work)
        scores = judge(network, exported, data, samples)
        require_good(scores, precision, runtime.name)
        del exported  # some runtimes keep the files open
        write(scores)
    return scores


def check_panoptic(
    network: PanopticNetwork,
    size: tuple[int, int],
    runtime: Runtime,
    *,
    precision: str = "fp32",
    data: PanopticImages | None = None,
) -> dict[str, dict[str, Delegation]]:
    """How much of each part accelerators' delegates take; nothing is written.

    The arguments are those of `export_panoptic`; int8 alone needs `data`.

    Returns:
        By part, by delegate.

    Raises:
        UserError: As `export_panoptic`, or the runtime has no delegates.
    """
    settings, exports = _plan(network, size, precision)
    parts = split(network.model)
    calibration = _calibration(parts, settings, data) if precision == "int8" and data else {}
    return {
        name: check_delegates(parts[name], exports[name], runtime, calibration=calibration.get(name))
        for name in PARTS
    }


def _plan(
    network: PanopticNetwork, size: tuple[int, int], precision: str
) -> tuple[dict[str, Any], dict[str, Export]]:
    """The settings of the whole, and what the parts are exported as.

    Raises:
        UserError: The network does not take the size, or has something that is not known here.
    """
    if any(side % DIVISOR for side in size):
        raise UserError(
            f"--size {size[0]} {size[1]}: must be multiples of {DIVISOR}, to which images are padded"
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
        )
    return settings, exports


def _calibration(parts: dict[str, nn.Module], settings: dict[str, Any], data: PanopticImages) -> Inputs:
    """What calibrates the parts.

    Raises:
        UserError: On none of the images a thing is found.
    """
    images = data.calibration()
    chosen = [images[i] for i in spread(len(images), HEAD_CALIBRATION_IMAGES)]
    heads = _head_inputs(parts, settings, chosen)
    if len(heads["mask_head"]) == 1:  # the noise
        raise UserError(
            f"--data {data.root}: on {len(chosen)} training images the network finds no thing, which int8 of "
            "its mask head is calibrated on"
        )
    return {"trunk": images, **heads}


def _head_inputs(
    parts: dict[str, nn.Module], settings: dict[str, Any], images: Sequence[np.ndarray]
) -> Inputs:
    """What the heads are given on some images, and noise of the same strength."""
    found: Inputs = {"box_head": [], "mask_head": []}

    def recorded(name: str) -> Callable[[np.ndarray], Sequence[np.ndarray]]:
        network = Outputs(parts[name])

        def run(features: np.ndarray) -> Sequence[np.ndarray]:
            found[name].append(features)
            return run_model(network, features)

        return run

    trunk = partial(run_model, Outputs(parts["trunk"]))
    heads = {name: recorded(name) for name in found}
    pipeline = PanopticPipeline(settings, {"trunk": trunk, **heads})
    for image in images:
        pipeline(image)
    # Both heads see the same maps; where no thing is found, as may be on noise, the mask head sees none.
    strength = np.concatenate([value.ravel() for value in found["box_head"]]).std() or 1
    for name, features in found.items():
        noise = np.random.default_rng(0).normal(size=part_inputs(settings)[name])
        features.append((noise * strength).astype(np.float32))
    return found


def _write_manifest(
    folder: Path,
    settings: dict[str, Any],
    network: PanopticNetwork,
    runtime: Runtime,
    precision: str,
    scores: Scores | None,
) -> None:
    """``model.json`` of the whole: all that is needed to use the parts, and what was checked."""
    files = sorted(path for name in PARTS for path in (folder / name).rglob("*") if path.is_file())
    content = {
        "model": NAME,
        "task": "panoptic",
        "runtime": runtime.name,
        "precision": precision,
        "file": PARTS[0],
        **settings,
        "classes": list(network.classes),
        "palette": network.palette,
        "parity": asdict(scores) if scores else None,
        "checked_by": runtime.checked_by,
        "versions": versions(runtime),
        "sha256": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n")
