"""The gate of panoptic networks: their maps must be mmdetection's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.gate.parity import Parity, difference
from lvt_core.export.gate.scores import MAX_DROP, MIN_AGREEMENT, Scores
from lvt_core.export.panoptic.labelled import PanopticImages, same_segments, score_maps, to_truth
from lvt_core.predict.open_panoptic import PanopticNetwork
from lvt_predict.model import ExportedModel
from lvt_predict.panoptic import PanopticMap, PanopticModel, PanopticSegment

MIN_SAME = 99.9  # percent of the pixels, float32
MAX_CHANGE = 0.1  # points of PQ, float32


def predict_as_trained(
    network: PanopticNetwork, images: np.ndarray, extent: tuple[int, int], size: tuple[int, int]
) -> PanopticMap:
    """Predict with mmdetection itself; return the form of `PanopticModel`, without scores.

    Args:
        network: Network that `open_panoptic` opened.
        images: ``(1, 3, H, W)``, normalised and padded.
        extent: Height and width of the image in it.
        size: Height and width of the map.
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
        (predicted,) = model.predict(torch.from_numpy(images), [sample], rescale=True)
    coded = predicted.pred_panoptic_seg.sem_seg[0].numpy()
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


@dataclass(frozen=True)
class PartGate:
    """The gate of one part: compares it with its network on the inputs that it has in the whole.

    Attributes:
        inputs: Inputs of the part.
        tolerance: Allowed difference, relative to the largest value.
    """

    inputs: Sequence[np.ndarray]
    tolerance: float

    def __call__(self, model: nn.Module, exported: ExportedModel) -> Parity:
        """Compare an exported part with its network.

        Raises:
            UserError: An output differs, in shape or by more than the tolerance.
        """
        worst = max(difference(model, exported, value) for value in self.inputs)
        if worst > self.tolerance:
            raise UserError(
                f"{exported.manifest['runtime']}, {exported.manifest['model']}: differs from the model by "
                f"{worst:.1e} of the largest value, allowed is {self.tolerance:.0e}; nothing is written"
            )
        batch, _, height, width = self.inputs[0].shape
        images = sum(len(value) for value in self.inputs)
        return Parity(worst, self.tolerance, images, [(batch, height, width)])


def judge(
    network: PanopticNetwork,
    exported: PanopticModel,
    data: PanopticImages | None,
    samples: Sequence[np.ndarray],
) -> Scores:
    """Compare maps of the file and of mmdetection: PQ on labelled images, and agreement on all."""
    ours, theirs, truths = [], [], []
    for images, truth in data or [(images, None) for images in samples]:
        height, width = images.shape[2:]
        # Noise has padding, too, as photographs have.
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
    """Reject maps that differ by more than the precision allows.

    Raises:
        UserError: PQ or the agreement is too low.
    """
    is_float = precision == "fp32"
    drop = abs(scores.model - scores.exported) if is_float else scores.model - scores.exported
    allowed = MAX_CHANGE if is_float else MAX_DROP
    agreement = MIN_SAME if is_float else MIN_AGREEMENT
    if drop > allowed or scores.agreement < agreement:
        raise UserError(
            f"{runtime_name}, {precision}: {scores}; allowed are {allowed} points less and {agreement} %; "
            "nothing is written"
        )
