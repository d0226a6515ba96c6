"""Scores: a file of lower precision must do its task as well as the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.gate.labelled import JudgedImages
from lvt_core.export.gate.parity import Size, check_runs, run_model
from lvt_predict.model import ExportedModel

MAX_DROP = 0.5  # points of the task's metric, float16 and int8
MIN_AGREEMENT = 99.0  # percent of the predictions

Predictor = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Scores:
    """How well a file of lower precision does its task, beside the model in float32.

    Attributes:
        metric: Name of the score, which is in percent.
        model: Score of the model.
        exported: Score of the file.
        agreement: Share of the predictions that are the model's, in percent.
        images: Number of judged images.
        trained_again: The file comes from the model after fine-tuning, whose predictions differ by nature.
    """

    metric: str
    model: float
    exported: float
    agreement: float
    images: int
    trained_again: bool = False

    def is_good(self, part: float = 1.0) -> bool:
        """Whether the loss is at most this part of what the gate allows."""
        lost, disagree = self.model - self.exported, 100 - self.agreement
        agrees = self.trained_again or disagree <= part * (100 - MIN_AGREEMENT)
        return lost <= part * MAX_DROP and agrees

    def __str__(self) -> str:
        scores = f"{self.metric} {self.exported:.2f}, the model's {self.model:.2f}"
        return f"{scores}; {self.agreement:.2f} % of the predictions agree, {self.images} images"


@dataclass(frozen=True)
class ScoreGate:
    """The gate of lower precisions: judges a file by its task.

    Attributes:
        data: Labelled images to judge on.
        sizes: Sizes to run first, for a file with free sizes.
        channels: Channels of an image.
        before: Network before its fine-tuning for int8, if its score must be kept; agreement is then only
            recorded.
    """

    data: JudgedImages
    sizes: Sequence[Size] = ()
    channels: int = 3
    before: nn.Module | None = None

    def __call__(self, model: nn.Module, exported: ExportedModel) -> Scores:
        """Judge an exported file.

        Raises:
            UserError: The score is more than `MAX_DROP` points lower than the model's, or less than
                `MIN_AGREEMENT` percent of the predictions are the model's.
        """
        check_runs(model, exported, self.sizes, channels=self.channels)
        scores = Judge(partial(run_model, self.before or model), self.data)(exported)
        scores = replace(scores, trained_again=self.before is not None)
        if not scores.is_good():
            precision = f"{exported.manifest['runtime']}, {exported.manifest['precision']}"
            allowed = f"{MAX_DROP} points less" + ("" if self.before else f" and {MIN_AGREEMENT} %")
            raise UserError(f"{precision}: {scores}; allowed are {allowed}; nothing is written")
        return scores


class Judge:
    """A scorer of files on a labelled set; the model itself predicts once for all of them.

    Args:
        model: Predictor that the files are compared with.
        data: Labelled images.
    """

    def __init__(self, model: Predictor, data: JudgedImages) -> None:
        self.data = data
        self.truths: list[Any] = []
        self.expected: list[Any] = []
        for images, truth in data:
            self.truths.append(truth)
            self.expected.append(data.predict(model(images), truth))

    def __call__(self, exported: Predictor) -> Scores:
        """Score a file."""
        data, truths, expected = self.data, self.truths, self.expected
        predictions = [data.predict(exported(images), truth) for images, truth in data]
        agreement = [data.agreement(*pair) for pair in zip(predictions, expected, strict=True)]
        return Scores(
            data.metric,
            data.score(expected, truths),
            data.score(predictions, truths),
            100 * float(np.mean(agreement)),
            len(truths),
        )
