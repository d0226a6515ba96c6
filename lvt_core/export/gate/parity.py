"""Parity: the outputs of a float32 file must be the model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.gate.labelled import LabelledImages, first_images
from lvt_predict.model import ExportedModel
from lvt_predict.sample import photograph

TOLERANCE = 1e-4  # float32, relative to the largest value of an output; of classes: share of the pixels
LOOSE = 1.0  # the same for lower precisions, which their task judges; noise does not pass
IMAGES = 4
REAL_IMAGES = 32

Size = tuple[int, int, int]  # batch, height, width


@dataclass(frozen=True)
class Parity:
    """The distance between the outputs of a float32 file and the model's.

    Attributes:
        worst: Largest difference, relative to the largest value of its output; for classes, the share that
            differs.
        tolerance: Difference that is allowed.
        images: Number of compared images.
        sizes: Batches, heights and widths.
    """

    worst: float
    tolerance: float
    images: int
    sizes: list[Size]

    def __str__(self) -> str:
        return f"largest difference {self.worst:.1e} of the largest value, {self.images} images"


@dataclass(frozen=True)
class ParityGate:
    """The gate of float32 files: compares outputs on drawn and real images.

    Attributes:
        sizes: Batch, height and width of images with a photograph's spectrum, in the order in which they run.
        data: Real images to compare on, too.
        channels: Channels of an image.
    """

    sizes: Sequence[Size]
    data: LabelledImages | None = None
    channels: int = 3

    def __call__(self, model: nn.Module, exported: ExportedModel) -> Parity:
        """Compare an exported file with the model.

        Raises:
            UserError: An output differs, in shape or by more than the tolerance.
        """
        sizes = [self.sizes[seed % len(self.sizes)] for seed in range(max(IMAGES, len(self.sizes)))]
        batches = [photograph(*size, seed=seed, channels=self.channels) for seed, size in enumerate(sizes)]
        if self.data is not None:
            batches += first_images(self.data, REAL_IMAGES)
        worst = max(difference(model, exported, images) for images in batches)
        if worst > TOLERANCE:
            raise UserError(
                f"{exported.manifest['runtime']} differs from the model by {worst:.1e} of the largest value "
                f"(for classes: of the pixels), allowed is {TOLERANCE:.0e}; nothing is written"
            )
        return Parity(worst, TOLERANCE, sum(images.shape[0] for images in batches), list(self.sizes))


def check_runs(
    model: nn.Module, exported: ExportedModel, sizes: Sequence[Size], *, channels: int = 3
) -> None:
    """Run a file of lower precision in all sizes: a converted file may still fail when it runs.

    Raises:
        UserError: The file fails, or its outputs have other shapes or are as far from the model's as noise.
    """
    for seed, size in enumerate(sizes):
        worst = difference(model, exported, photograph(*size, seed=seed, channels=channels))
        if worst > LOOSE:
            raise UserError(
                f"{exported.manifest['runtime']}, {exported.manifest['precision']}, size {size}: differs "
                f"from the model by {worst:.1e} of the largest value, allowed is {LOOSE}; nothing is written"
            )


def run_model(model: nn.Module, images: np.ndarray) -> list[np.ndarray]:
    """Run a model on arrays, as a runtime does."""
    with torch.inference_mode():
        return [value.numpy() for value in model(torch.from_numpy(images))]


def difference(model: nn.Module, exported: ExportedModel, images: np.ndarray) -> float:
    """Compute `Parity.worst` of one batch; infinite if a value is not finite.

    Raises:
        UserError: The outputs have other shapes than the model's.
    """
    expected, outputs = run_model(model, images), exported(images)
    shapes = [value.shape for value in expected]
    if [value.shape for value in outputs] != shapes:
        raise UserError(
            f"{exported.manifest['runtime']} has outputs {[v.shape for v in outputs]}, expected are {shapes}"
        )
    worst = 0.0
    for ours, theirs in zip(expected, outputs, strict=True):
        if np.issubdtype(ours.dtype, np.integer):
            distance = float((ours != theirs).mean())
        else:
            distance = float(np.abs(ours - theirs).max() / np.abs(ours).max())
        worst = max(worst, distance if np.isfinite(distance) else float("inf"))
    return worst
