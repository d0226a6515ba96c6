"""Panoptic FPN for runtimes: three networks, each an export of its own, and numpy between them.

What lies between is `lvt_core.predict_panoptic`; it is judged together with the networks, by mmdetection's
own maps.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export import gate
from lvt_core.export.common import export_model, versions
from lvt_core.export.folder import put_in_place, require_replaceable
from lvt_core.export.gate import Parity, Scores, photograph, run_model
from lvt_core.export.graph import Outputs
from lvt_core.export.job import Export, Runtime, require_possible
from lvt_core.export.labelled import spread
from lvt_core.export.labelled_panoptic import PanopticImages, same_segments, score_maps, to_truth
from lvt_core.export.open_panoptic import PanopticNetwork
from lvt_core.export.panoptic_parts import part_inputs, settings_of, split
from lvt_core.files import require_writable_folder
from lvt_core.predict import MANIFEST, ExportedModel, sha256
from lvt_core.predict_panoptic import PARTS, PanopticMap, PanopticModel, PanopticPipeline, PanopticSegment

NAME = "panoptic"
DIVISOR = 32  # mmdetection pads images to multiples of it
MIN_SAME = 99.9  # percent of the pixels, float32
MAX_CHANGE = 0.1  # points of PQ, float32
CHECKED_IMAGES = 4
HEAD_CALIBRATION_IMAGES = 16  # features of a thousand boxes each

Inputs = dict[str, list[np.ndarray]]


def export_panoptic(
    network: PanopticNetwork,
    size: tuple[int, int],
    runtime_name: str,
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
        runtime_name: Its name, as `lvt_core.predict` knows it.
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
    if any(side % DIVISOR for side in size):
        raise UserError(
            f"--size {size[0]} {size[1]}: must be multiples of {DIVISOR}, to which images are padded"
        )
    settings = settings_of(network, size)
    exports = _exports(settings, size, precision)
    require_possible(exports["trunk"], runtime_name, runtime, judged=data is not None)
    require_writable_folder(folder.parent)
    require_replaceable(folder)
    parts = split(network.model)
    calibration: Inputs = {}
    if precision == "int8" and data is not None:
        images = data.calibration()
        chosen = [images[i] for i in spread(len(images), HEAD_CALIBRATION_IMAGES)]
        calibration = _head_inputs(parts, settings, chosen)
        calibration["trunk"] = images
    samples = [photograph(1, *size, seed=seed) for seed in range(CHECKED_IMAGES)]
    if data is not None:
        samples += gate.first_images(data, CHECKED_IMAGES)
    checked = {"trunk": samples, **_head_inputs(parts, settings, samples)}
    tolerance = gate.TOLERANCE if precision == "fp32" else gate.LOOSE
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        work = Path(temporary) / folder.name
        work.mkdir()
        for name in reversed(PARTS):  # the small ones first: what fails, fails early
            export_model(
                parts[name],
                exports[name],
                runtime_name,
                runtime,
                work / name,
                check=partial(_check_part, inputs=checked[name], tolerance=tolerance),
                calibration=calibration.get(name, []),
            )
        write = partial(_write_manifest, work, settings, network, runtime_name, runtime, precision)
        write(None)
        exported = PanopticModel(work)
        scores = judge(network, exported, data, samples)
        _require_good(scores, precision, runtime_name)
        del exported  # some runtimes keep the files open
        write(scores)
        put_in_place(work, folder, Path(temporary) / "old")
    return scores


def predict_as_trained(
    network: PanopticNetwork, images: np.ndarray, extent: tuple[int, int], size: tuple[int, int]
) -> PanopticMap:
    """mmdetection's own prediction, as `PanopticModel` gives one; scores are not in it.

    Args:
        network: What `open_panoptic` gives.
        images: ``(1, 3, H, W)``, normalised and padded.
        extent: The image's height and width therein.
        size: The map's height and width.
    """
    from mmdet.structures import INSTANCE_OFFSET, DetDataSample

    padded = tuple(images.shape[-2:])
    sample = DetDataSample(
        metainfo={
            "batch_input_shape": padded,
            "pad_shape": padded,
            "img_shape": extent,
            "ori_shape": size,
            "scale_factor": (extent[1] / size[1], extent[0] / size[0]),
        }
    )
    model: Any = network.model
    with torch.inference_mode():
        (found,) = model.predict(torch.from_numpy(images), [sample], rescale=True)
    coded = found.pred_panoptic_seg.sem_seg[0].numpy()
    num_classes = len(network.classes)
    values = [int(value) for value in np.unique(coded) if value % INSTANCE_OFFSET != num_classes]
    values.sort(key=lambda value: (value < INSTANCE_OFFSET, value // INSTANCE_OFFSET, value))
    ids = np.zeros(coded.shape, np.int32)
    segments = []
    for number, value in enumerate(values, start=1):
        ids[coded == value] = number
        is_thing = value >= INSTANCE_OFFSET
        segments.append(PanopticSegment(number, value % INSTANCE_OFFSET, None, is_thing))
    return PanopticMap(ids, segments)


def _exports(settings: dict[str, Any], size: tuple[int, int], precision: str) -> dict[str, Export]:
    """What the parts are exported as."""
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
    return exports


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
    for name, features in found.items():
        noise = np.random.default_rng(0).normal(size=part_inputs(settings)[name])
        strength = np.concatenate([value.ravel() for value in features]).std() or 1
        features.append((noise * strength).astype(np.float32))
    return found


def _check_part(
    model: nn.Module, exported: ExportedModel, *, inputs: Sequence[np.ndarray], tolerance: float
) -> Parity:
    """Compare a part with its network on what it is given in the whole.

    Raises:
        UserError: An output differs, in shape or by more than the tolerance.
    """
    worst = max(gate.difference(model, exported, value) for value in inputs)
    if worst > tolerance:
        raise UserError(
            f"{exported.manifest['runtime']}, {exported.manifest['model']}: differs from the model by "
            f"{worst:.1e} of the largest value, allowed is {tolerance:.0e}: nothing is written"
        )
    batch, _, height, width = inputs[0].shape
    return Parity(worst, tolerance, sum(len(value) for value in inputs), [(batch, height, width)])


def judge(
    network: PanopticNetwork,
    exported: PanopticModel,
    data: PanopticImages | None,
    samples: Sequence[np.ndarray],
) -> Scores:
    """Maps of the file and of mmdetection: PQ on labelled images, and how far they agree on all."""
    ours, theirs, truths = [], [], []
    for images, truth in data or [(images, None) for images in samples]:
        height, width = images.shape[2:]
        # Of noise not all is image, as of photographs.
        extent = truth.extent if truth else (height - height // 9, width - width // 7)
        size = (int(truth.ids.shape[0]), int(truth.ids.shape[1])) if truth else extent
        ours.append(predict_as_trained(network, images, extent, size))
        theirs.append(exported(images, extent=extent, size=size))
        truths.append((truth.ids, truth.segments) if truth else to_truth(ours[-1]))
    agreement = [same_segments(*both) for both in zip(theirs, ours, strict=True)]
    return Scores(
        "PQ" if data else "PQ against mmdetection's",
        score_maps(ours, truths, len(network.classes)),
        score_maps(theirs, truths, len(network.classes)),
        100 * float(np.mean(agreement)),
        len(truths),
    )


def _require_good(scores: Scores, precision: str, runtime_name: str) -> None:
    is_float = precision == "fp32"
    drop = abs(scores.model - scores.exported) if is_float else scores.model - scores.exported
    allowed = MAX_CHANGE if is_float else gate.MAX_DROP
    agreement = MIN_SAME if is_float else gate.MIN_AGREEMENT
    if drop > allowed or scores.agreement < agreement:
        raise UserError(
            f"{runtime_name}, {precision}: {scores}; allowed are {allowed} points less and {agreement} %: "
            "nothing is written"
        )


def _write_manifest(
    folder: Path,
    settings: dict[str, Any],
    network: PanopticNetwork,
    runtime_name: str,
    runtime: Runtime,
    precision: str,
    scores: Scores | None,
) -> None:
    """``model.json`` of the whole: all that is needed to use the parts, and what was checked."""
    files = sorted(path for name in PARTS for path in (folder / name).rglob("*") if path.is_file())
    content = {
        "model": NAME,
        "task": "panoptic",
        "runtime": runtime_name,
        "precision": precision,
        "file": PARTS[0],
        **settings,
        "classes": list(network.classes),
        "palette": network.palette,
        "parity": asdict(scores) if scores else None,
        "versions": versions(runtime),
        "sha256": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n")
