"""The gate of panoptic networks: their maps must be mmdetection's, or nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.gate import gate
from lvt_core.export.gate.gate import Parity, Scores
from lvt_core.export.panoptic.labelled import PanopticImages, same_segments, score_maps, to_truth
from lvt_core.export.panoptic.open import PanopticNetwork
from lvt_predict.model import ExportedModel
from lvt_predict.panoptic import PanopticMap, PanopticModel, PanopticSegment

MIN_SAME = 99.9  # percent of the pixels, float32
MAX_CHANGE = 0.1  # points of PQ, float32


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


def check_part(
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


def require_good(scores: Scores, precision: str, runtime_name: str) -> None:
    is_float = precision == "fp32"
    drop = abs(scores.model - scores.exported) if is_float else scores.model - scores.exported
    allowed = MAX_CHANGE if is_float else gate.MAX_DROP
    agreement = MIN_SAME if is_float else gate.MIN_AGREEMENT
    if drop > allowed or scores.agreement < agreement:
        raise UserError(
            f"{runtime_name}, {precision}: {scores}; allowed are {allowed} points less and {agreement} %: "
            "nothing is written"
        )
