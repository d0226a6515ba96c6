"""The gate: a runtime's outputs must be the model's, or nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lvt_core.errors import UserError
from lvt_core.predict import ExportedModel

TOLERANCE = 1e-4  # of the largest value of an output
IMAGES = 4


@dataclass(frozen=True)
class Parity:
    """How far a runtime's outputs are from the model's.

    Attributes:
        worst: Largest difference, relative to the largest value of its output.
        tolerance: What was allowed.
        images: How many were compared.
        sizes: Batches, heights and widths.
    """

    worst: float
    tolerance: float
    images: int
    sizes: list[tuple[int, int, int]]


def check_parity(model: nn.Module, folder: Path, *, sizes: Sequence[tuple[int, int, int]]) -> Parity:
    """Compare an exported folder with the model, on images with a photograph's spectrum.

    Args:
        model: Images to a tuple of outputs.
        folder: What was exported; it is opened as its users open it.
        sizes: Batch, height and width of the images.

    Raises:
        UserError: An output differs, in shape or by more than the tolerance.
    """
    exported = ExportedModel(folder)
    worst, count = 0.0, 0
    for seed in range(max(IMAGES, len(sizes))):
        batch, height, width = sizes[seed % len(sizes)]
        images = photograph(batch, height, width, seed=seed)
        with torch.inference_mode():
            expected: tuple[Tensor, ...] = model(torch.from_numpy(images))
        found = exported(images)
        shapes = [tuple(value.shape) for value in expected]
        if [value.shape for value in found] != shapes:
            raise UserError(f"{exported.manifest['runtime']} gives {[v.shape for v in found]}, not {shapes}")
        for ours, theirs in zip(expected, found, strict=True):
            reference = ours.numpy()
            difference = np.abs(reference - theirs).max() / np.abs(reference).max()
            worst = max(worst, float(difference) if np.isfinite(difference) else float("inf"))
        count += batch
    if worst > TOLERANCE:
        raise UserError(
            f"{exported.manifest['runtime']} differs from the model by {worst:.1e} of the largest value, "
            f"allowed is {TOLERANCE:.0e}: nothing is written"
        )
    return Parity(worst, TOLERANCE, count, list(sizes))


def photograph(batch: int, height: int, width: int, *, seed: int) -> np.ndarray:
    """Noise with a photograph's spectrum, normalised: ``(B, 3, H, W)``, float32."""
    rng = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falloff = 1 / np.maximum(np.hypot(x, y), 1 / width)
    planes = np.fft.irfft2(
        np.fft.rfft2(rng.normal(size=(batch, 3, height, width))) * falloff, (height, width)
    )
    return (planes / planes.std(axis=(2, 3), keepdims=True)).astype(np.float32)
