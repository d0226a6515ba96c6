"""The gate: a runtime's outputs must be the model's, or nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.gate.labelled import Labelled, first_images
from lvt_predict.model import ExportedModel
from lvt_predict.sample import photograph

TOLERANCE = 1e-4  # of the largest value of an output, float32; of the pixels, where it is their classes
LOOSE = 1.0  # of the same: lower precision is judged by its task, but no noise passes
MAX_DROP = 0.5  # points of the task's metric, float16 and int8
MIN_AGREEMENT = 99.0  # percent of the predictions
IMAGES = 4
REAL_IMAGES = 32

Predictor = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Parity:
    """How far a float32 file's outputs are from the model's.

    Attributes:
        worst: Largest difference, relative to the largest value of its output; of classes, the part that
            differs.
        tolerance: What was allowed.
        images: How many were compared.
        sizes: Batches, heights and widths.
    """

    worst: float
    tolerance: float
    images: int
    sizes: list[tuple[int, int, int]]

    def __str__(self) -> str:
        return f"largest difference {self.worst:.1e} of the largest value, {self.images} images"


@dataclass(frozen=True)
class Scores:
    """How well a file of lower precision does its task, beside the model in float32.

    Attributes:
        metric: What is scored, in percent.
        model: The model's score.
        exported: The file's.
        agreement: Part of the predictions that are the model's, in percent.
        images: How many were judged.
        trained_again: The file is of the model fine-tuned, whose predictions cannot all be the model's.
    """

    metric: str
    model: float
    exported: float
    agreement: float
    images: int
    trained_again: bool = False

    def is_good(self, part: float = 1.0) -> bool:
        """Whether no more than this part of what the gate allows is lost."""
        lost, disagree = self.model - self.exported, 100 - self.agreement
        agrees = self.trained_again or disagree <= part * (100 - MIN_AGREEMENT)
        return lost <= part * MAX_DROP and agrees

    def __str__(self) -> str:
        scores = f"{self.metric} {self.exported:.2f}, the model's {self.model:.2f}"
        return f"{scores}; {self.agreement:.2f} % of the predictions agree, {self.images} images"


Checked = Parity | Scores


def check_parity(
    model: nn.Module,
    exported: ExportedModel,
    *,
    sizes: Sequence[tuple[int, int, int]],
    data: Labelled | None = None,
    channels: int = 3,
) -> Parity:
    """Compare an exported file with the model.

    Args:
        model: Images to a tuple of outputs.
        exported: Opened as its users open it.
        sizes: Batch, height and width of images with a photograph's spectrum.
        data: Real images, compared too.
        channels: Of an image.

    Raises:
        UserError: An output differs, in shape or by more than the tolerance.
    """
    drawn = [sizes[seed % len(sizes)] for seed in range(max(IMAGES, len(sizes)))]
    batches = [photograph(*size, seed=seed, channels=channels) for seed, size in enumerate(drawn)]
    if data is not None:
        batches += first_images(data, REAL_IMAGES)
    worst = max(difference(model, exported, images) for images in batches)
    if worst > TOLERANCE:
        raise UserError(
            f"{exported.manifest['runtime']} differs from the model by {worst:.1e} of the largest value "
            f"(of classes: of the pixels), allowed is {TOLERANCE:.0e}: nothing is written"
        )
    return Parity(worst, TOLERANCE, sum(images.shape[0] for images in batches), list(sizes))


def check_runs(
    model: nn.Module, exported: ExportedModel, sizes: Sequence[tuple[int, int, int]], *, channels: int = 3
) -> None:
    """Run a file of lower precision in all sizes: what converts may yet fail when it is run.

    Raises:
        UserError: It fails, or its outputs have other shapes or are as far from the model's as noise.
    """
    for seed, size in enumerate(sizes):
        worst = difference(model, exported, photograph(*size, seed=seed, channels=channels))
        if worst > LOOSE:
            raise UserError(
                f"{exported.manifest['runtime']}, {exported.manifest['precision']}, size {size}: differs "
                f"from the model by {worst:.1e} of the largest value, allowed is {LOOSE}: nothing is written"
            )


def check_scores(
    model: nn.Module, exported: ExportedModel, data: Labelled, *, before: nn.Module | None = None
) -> Scores:
    """Judge an exported file by its task.

    Args:
        model: Images to a tuple of outputs.
        exported: Opened as its users open it.
        data: What it is judged on.
        before: What the model was before it was fine-tuned for int8, if the file's score must be this one's.

    Raises:
        UserError: Its score is more than `MAX_DROP` points lower than the model's, or less than
            `MIN_AGREEMENT` of its predictions are the model's; of one trained again, the score alone counts.
    """
    scores = Judge(partial(run_model, before or model), data)(exported)
    scores = replace(scores, trained_again=before is not None)
    if not scores.is_good():
        precision = f"{exported.manifest['runtime']}, {exported.manifest['precision']}"
        allowed = f"{MAX_DROP} points less" + ("" if before else f" and {MIN_AGREEMENT} %")
        raise UserError(f"{precision}: {scores}; allowed are {allowed}: nothing is written")
    return scores


class Judge:
    """Scores files beside a model on a labelled set; the model itself predicts once for all of them.

    Args:
        model: What they are compared with.
        data: The set.
    """

    def __init__(self, model: Predictor, data: Labelled) -> None:
        self.data = data
        self.truths: list[Any] = []
        self.expected: list[Any] = []
        for images, truth in data:
            self.truths.append(truth)
            self.expected.append(data.predict(model(images), truth))

    def __call__(self, exported: Predictor) -> Scores:
        """A file's scores."""
        data, truths, expected = self.data, self.truths, self.expected
        found = [data.predict(exported(images), truth) for images, truth in data]
        agreement = [data.agreement(*pair) for pair in zip(found, expected, strict=True)]
        return Scores(
            data.metric,
            data.score(expected, truths),
            data.score(found, truths),
            100 * float(np.mean(agreement)),
            len(truths),
        )


def run_model(model: nn.Module, images: np.ndarray) -> list[np.ndarray]:
    """A model's outputs, as a runtime gives them."""
    with torch.inference_mode():
        return [value.numpy() for value in model(torch.from_numpy(images))]


def difference(model: nn.Module, exported: ExportedModel, images: np.ndarray) -> float:
    """`Parity.worst` of one batch; infinite if a value is not finite."""
    expected, found = run_model(model, images), exported(images)
    shapes = [value.shape for value in expected]
    if [value.shape for value in found] != shapes:
        raise UserError(f"{exported.manifest['runtime']} gives {[v.shape for v in found]}, not {shapes}")
    worst = 0.0
    for ours, theirs in zip(expected, found, strict=True):
        if np.issubdtype(ours.dtype, np.integer):
            difference = float((ours != theirs).mean())
        else:
            difference = float(np.abs(ours - theirs).max() / np.abs(ours).max())
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
    return worst
