"""The search for a recipe: which parts must stay in float, so that the rest may be int8.

The runtime's own tools convert one part of the network at a time to int8, and the runtime's outputs show the
loss. The most sensitive parts then go back to float, as few as pass: a bisection over the ranking.

Calibration images rank, other training images judge, and the gate's images decide nothing. A network does
better on its training images than on others, so only half of the gate's allowance is used here.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.forms.graph import Outputs
from lvt_core.export.gate.labelled import JudgedImages, spread
from lvt_core.export.gate.parity import run_model
from lvt_core.export.gate.scores import Judge, Scores
from lvt_core.export.job import Export, Job, Runtime, report_missing_packages, require_supported
from lvt_core.export.recipe.file import Recipe
from lvt_core.export.write import make_program, write_model_manifest
from lvt_predict.model import ExportedModel

RANKING_IMAGES = 32
JUDGING_IMAGES = 512
ALLOWED = 0.5  # share of the gate's allowance
MIN_INT8 = 0.5  # least share of the weights in int8
FAINTEST = 1e-20  # noise per signal, 200 dB: float32 itself has some 1e-13

# Parts of a block or of the network: ``backbone.stages.0.blocks.0.attn``, ``head``.
PART = re.compile(r"(?:(?:backbone|stages|blocks|class_blocks|\d+)\.)*\w+")


@dataclass(frozen=True)
class SearchResult:
    """A recipe and how it was found.

    Attributes:
        recipe: Recipe that passes.
        record: Runtime, ranking in decibels and scores, for the recipe's file.
    """

    recipe: Recipe
    record: Mapping[str, Any]


def search_recipe(
    model: nn.Module,
    export: Export,
    runtime: Runtime,
    data: JudgedImages,
    *,
    activations: Sequence[str] = (),
    min_int8: float = MIN_INT8,
    report: Callable[[str], object] = print,
) -> SearchResult:
    """Search for the recipe with the fewest parts in float.

    Args:
        model: Classifier or SegFormer.
        export: Description of the export, int8.
        runtime: Runtime to export to.
        data: Labelled images, whose training images rank and judge.
        activations: Kinds to try until one passes; by default all that the runtime supports.
        min_int8: Least share of the weights in int8.
        report: Function that gets lines about the measurements.

    Raises:
        UserError: No recipe passes, or the export itself would fail.
    """
    require_supported(export, runtime)
    kinds = tuple(activations) or runtime.activations
    if unknown := [kind for kind in kinds if kind not in runtime.activations]:
        raise UserError(
            f"--activations {unknown[0]}: {runtime.name} only supports {', '.join(runtime.activations)}"
        )
    reference = partial(run_model, Outputs(model.eval()))
    job = Job(make_program(model, export, runtime.largest), export, data.calibration())
    judge = Judge(reference, data.held_out(JUDGING_IMAGES))
    failed = []
    with tempfile.TemporaryDirectory() as folder, report_missing_packages(runtime):
        trials = Trials(job, runtime, Path(folder))
        for kind in kinds:
            ranking = rank(trials, reference, kind)
            names = sorted(ranking, key=ranking.__getitem__)
            report(f"{kind}: " + ", ".join(f"{name} {ranking[name]:.1f} dB" for name in names))
            floats, scores = fewest_floats(trials, judge, kind, names, min_int8=min_int8, report=report)
            if not scores.is_good(ALLOWED):
                failed.append(f"{kind}: {scores}")
                continue
            record = {
                "model": export.name,
                "size": list(export.size),
                "runtime": runtime.name,
                "ranking": "signal to noise of the outputs, dB, with only that part in int8",
                "decibels": {name: round(ranking[name], 1) for name in names},
                "ranked on": f"{len(ranking_images(job))} of the {len(job.calibration)} calibration images",
                "judged on": f"{scores.images} training images that do not calibrate",
                "allowed": f"{ALLOWED:.0%} of what the gate allows",
                "scores": asdict(scores),
                "weights in int8": round(1 - share(job, floats), 4),
            }
            return SearchResult(Recipe(kind, tuple(floats)), record)
    raise UserError(
        f"no recipe for {runtime.name} with at least {min_int8:.0%} of the weights in int8 loses less than "
        f"{ALLOWED:.0%} of what the gate allows: {'; '.join(failed)}"
    )


class Trials:
    """The files of one network by different recipes, opened as users open them.

    If the runtime quantises a float32 file, that file is written once.

    Args:
        job: Network, calibration images and precision.
        runtime: Runtime to export to.
        folder: Folder for the files.
    """

    def __init__(self, job: Job, runtime: Runtime, folder: Path) -> None:
        self.job, self.runtime, self.folder = job, runtime, folder
        self.source = folder / runtime.file
        if runtime.quantize is not None:
            runtime.convert(job, self.source)

    def open(self, recipe: Recipe, calibration: Sequence[np.ndarray]) -> ExportedModel:
        """Write and open the file of a recipe."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        job = replace(self.job, recipe=recipe, calibration=calibration)
        file = folder / self.runtime.file
        if self.runtime.quantize is not None:
            self.runtime.quantize(job, self.source, file)
        else:
            self.runtime.convert(job, file)
        write_model_manifest(folder, job.export, self.runtime, None)
        return ExportedModel(folder, trust=True)  # written here


def parts(job: Job) -> dict[str, int]:
    """Count the weights of each part of a network, in order."""
    counts: dict[str, int] = {}
    for name, weight in job.program.state_dict.items():
        layer = name.removeprefix("model.").rpartition(".")[
            0
        ]  # empty for a parameter outside of layers, such as the class token
        part = PART.match(layer)
        if weight.ndim > 1 and part:
            counts[part[0]] = counts.get(part[0], 0) + weight.numel()
    return counts


def share(job: Job, names: Sequence[str]) -> float:
    """Return the share of all weights in some parts, 0..1."""
    counts = parts(job)
    return sum(counts[name] for name in names) / sum(counts.values())


def ranking_images(job: Job) -> list[np.ndarray]:
    """Choose calibration images at even distances."""
    return [job.calibration[i] for i in spread(len(job.calibration), RANKING_IMAGES)]


def rank(trials: Trials, reference: Callable[[np.ndarray], list[np.ndarray]], kind: str) -> dict[str, float]:
    """Measure signal to noise of the outputs in decibels, with one part at a time in int8."""
    images = ranking_images(trials.job)
    expected = [reference(image) for image in images]
    names = list(parts(trials.job))
    decibels = {}
    for name in names:
        exported = trials.open(Recipe(kind, tuple(other for other in names if other != name)), images)
        noise = noise_to_signal([exported(image) for image in images], expected)
        decibels[name] = -10 * log10(min(max(noise, FAINTEST), 1 / FAINTEST))
    return decibels


def noise_to_signal(outputs: Sequence[list[np.ndarray]], expected: Sequence[list[np.ndarray]]) -> float:
    """Compute squared error over squared outputs, for the worst of a network's outputs.

    Args:
        outputs: Outputs for each image.
        expected: Outputs of the model for each image.
    """
    ratios = []
    for theirs, ours in zip(zip(*outputs, strict=True), zip(*expected, strict=True), strict=True):
        noise = sum(
            float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(theirs, ours, strict=True)
        )
        ratio = noise / sum(float(np.square(b, dtype=np.float64).sum()) for b in ours)
        ratios.append(ratio if np.isfinite(ratio) else float("inf"))
    return max(ratios)


def fewest_floats(
    trials: Trials,
    judge: Judge,
    kind: str,
    names: Sequence[str],
    *,
    min_int8: float,
    report: Callable[[str], object],
) -> tuple[list[str], Scores]:
    """Find the shortest start of a ranking that must stay in float.

    The bisection assumes that more parts in float are never worse; its result has been judged itself.

    Args:
        trials: Files of the network.
        judge: Scorer of the files.
        kind: Kind of activations.
        names: Parts, the most sensitive first.
        min_int8: Least share of the weights in int8.
        report: Function that gets lines about the scores.

    Returns:
        Parts and their scores; the scores are not good enough if no start with enough int8 passes.
    """

    def scores_of(count: int) -> Scores:
        exported = trials.open(Recipe(kind, tuple(names[:count])), trials.job.calibration)
        scores = judge(exported)
        report(f"{kind}, {count} of {len(names)} parts in float: {scores}")
        return scores

    scores = scores_of(0)
    if scores.is_good(ALLOWED):
        return [], scores
    low = 0
    high = max(n for n in range(len(names)) if share(trials.job, names[:n]) <= 1 - min_int8)
    scores = scores_of(high)
    if not scores.is_good(ALLOWED):
        return list(names[:high]), scores
    while high - low > 1:  # low is not enough, high is
        middle = (low + high) // 2
        tried = scores_of(middle)
        if tried.is_good(ALLOWED):
            high, scores = middle, tried
        else:
            low = middle
    return list(names[:high]), scores
