"""Recipes found by measurement: what must stay in float, so that the rest may be int8.

Each part of a network becomes int8 alone, by the runtime's own tools, and the runtime's outputs tell how much
is lost. The most sensitive parts then go back into float, as few as pass: bisection over the ranking.

Calibration images rank. Other training images judge: by images that the gate judges by, nothing is chosen. A
network knows its training images better than others, so half of what the gate allows must do here.
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
from lvt_core.export.gate.gate import Judge, Scores, run_model
from lvt_core.export.gate.labelled import Labelled, spread
from lvt_core.export.job import Export, Job, Runtime, require_possible, told_what_is_missing
from lvt_core.export.recipe.recipe import Recipe
from lvt_core.export.write import make_program, write_manifest
from lvt_predict.model import ExportedModel

RANKING_IMAGES = 32
JUDGING_IMAGES = 512
ALLOWED = 0.5  # of what the gate allows
MIN_INT8 = 0.5  # of the weights: a recipe that leaves less is none
FAINTEST = 1e-20  # noise per signal, 200 dB: float32 itself has some 1e-13

# ``backbone.stages.0.blocks.0.attn``, ``head``: what a block is made of, or the network.
PART = re.compile(r"(?:(?:backbone|stages|blocks|class_blocks|\d+)\.)*\w+")


@dataclass(frozen=True)
class Found:
    """A recipe and how it was found.

    Attributes:
        recipe: What passes.
        record: For the recipe's file: the runtime, the ranking in decibels, what judged.
    """

    recipe: Recipe
    record: Mapping[str, Any]


def search_recipe(
    model: nn.Module,
    export: Export,
    runtime: Runtime,
    data: Labelled,
    *,
    activations: Sequence[str] = (),
    report: Callable[[str], object] = print,
) -> Found:
    """The recipe with the fewest parts in float.

    Args:
        model: The classifier or SegFormer.
        export: What to export, int8.
        runtime: Where to.
        data: Its training images rank and judge.
        activations: Kinds to try, the first that passes is taken; all that the runtime has by default.
        report: Is told what was measured.

    Raises:
        UserError: No recipe passes, or something that the export itself would refuse.
    """
    require_possible(export, runtime, judged=True)
    kinds = tuple(activations) or runtime.activations
    if unknown := [kind for kind in kinds if kind not in runtime.activations]:
        raise UserError(f"--activations {unknown[0]}: {runtime.name} has {', '.join(runtime.activations)}")
    reference = partial(run_model, Outputs(model.eval()))
    job = Job(make_program(model, export, runtime.largest), export, data.calibration())
    judge = Judge(reference, data.held_out(JUDGING_IMAGES))
    failed = []
    with tempfile.TemporaryDirectory() as folder, told_what_is_missing(runtime):
        trials = Trials(job, runtime, Path(folder))
        for kind in kinds:
            ranking = rank(trials, reference, kind)
            names = sorted(ranking, key=ranking.__getitem__)
            report(f"{kind}: " + ", ".join(f"{name} {ranking[name]:.1f} dB" for name in names))
            floats, scores = fewest_floats(trials, judge, kind, names, report)
            if not scores.is_good(ALLOWED):
                failed.append(f"{kind}: {scores}")
                continue
            record = {
                "model": export.name,
                "size": list(export.size),
                "runtime": runtime.name,
                "ranking": "signal to noise of the outputs, dB, with that part alone in int8",
                "decibels": {name: round(ranking[name], 1) for name in names},
                "ranked on": f"{len(ranking_images(job))} of the {len(job.calibration)} calibration images",
                "judged on": f"{scores.images} training images that do not calibrate",
                "allowed": f"{ALLOWED:.0%} of what the gate allows",
                "scores": asdict(scores),
                "weights in int8": round(1 - share(job, floats), 4),
            }
            return Found(Recipe(kind, tuple(floats)), record)
    raise UserError(
        f"--search: with at least {MIN_INT8:.0%} of the weights in int8 no recipe for {runtime.name} loses "
        f"less than {ALLOWED:.0%} of what the gate allows; {'; '.join(failed)}"
    )


class Trials:
    """Files of one network by different recipes, opened as their users open them.

    The float32 file is written once, where the runtime makes int8 of it.

    Args:
        job: The network, calibration images and the precision.
        runtime: Where to.
        folder: For the files.
    """

    def __init__(self, job: Job, runtime: Runtime, folder: Path) -> None:
        self.job, self.runtime, self.folder = job, runtime, folder
        self.source = folder / runtime.file
        if runtime.quantize is not None:
            runtime.convert(job, self.source)

    def open(self, recipe: Recipe, calibration: Sequence[np.ndarray]) -> ExportedModel:
        """The file of a recipe."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        job = replace(self.job, recipe=recipe, calibration=calibration)
        file = folder / self.runtime.file
        if self.runtime.quantize is not None:
            self.runtime.quantize(job, self.source, file)
        else:
            self.runtime.convert(job, file)
        write_manifest(folder, job.export, self.runtime, None)
        return ExportedModel(folder)


def parts(job: Job) -> dict[str, int]:
    """What a network is made of, in its order, and how many weights each part has."""
    counts: dict[str, int] = {}
    for name, weight in job.program.state_dict.items():
        layer = name.removeprefix("model.").rpartition(".")[0]  # none: no layer's, as a class token
        found = PART.match(layer)
        if weight.ndim > 1 and found:
            counts[found[0]] = counts.get(found[0], 0) + weight.numel()
    return counts


def share(job: Job, names: Sequence[str]) -> float:
    """Of all weights, what these parts have: 0..1."""
    counts = parts(job)
    return sum(counts[name] for name in names) / sum(counts.values())


def ranking_images(job: Job) -> list[np.ndarray]:
    """Of the calibration images, evenly."""
    return [job.calibration[i] for i in spread(len(job.calibration), RANKING_IMAGES)]


def rank(trials: Trials, reference: Callable[[np.ndarray], list[np.ndarray]], kind: str) -> dict[str, float]:
    """Signal to noise of the outputs in decibels, for each part alone in int8."""
    images = ranking_images(trials.job)
    expected = [reference(image) for image in images]
    names = list(parts(trials.job))
    found = {}
    for name in names:
        exported = trials.open(Recipe(kind, tuple(other for other in names if other != name)), images)
        noise = noise_to_signal([exported(image) for image in images], expected)
        found[name] = -10 * log10(min(max(noise, FAINTEST), 1 / FAINTEST))
    return found


def noise_to_signal(found: Sequence[list[np.ndarray]], expected: Sequence[list[np.ndarray]]) -> float:
    """Squared error over squared outputs, the worst of a network's outputs.

    Args:
        found: For each image, the outputs.
        expected: The model's.
    """
    ratios = []
    for theirs, ours in zip(zip(*found, strict=True), zip(*expected, strict=True), strict=True):
        noise = sum(
            float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(theirs, ours, strict=True)
        )
        ratio = noise / sum(float(np.square(b, dtype=np.float64).sum()) for b in ours)
        ratios.append(ratio if np.isfinite(ratio) else float("inf"))
    return max(ratios)


def fewest_floats(
    trials: Trials, judge: Judge, kind: str, names: Sequence[str], report: Callable[[str], object]
) -> tuple[list[str], Scores]:
    """The shortest start of a ranking that is good enough in float.

    Bisection takes it that more in float is never worse; what it gives has been judged itself.

    Args:
        trials: The network.
        judge: Of the files.
        kind: Activations.
        names: Parts, the most sensitive first.
        report: Is told the scores.

    Returns:
        The parts and their scores; the scores are not good enough if no start is that leaves enough in int8.
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
    high = max(n for n in range(len(names)) if share(trials.job, names[:n]) <= 1 - MIN_INT8)
    scores = scores_of(high)
    if not scores.is_good(ALLOWED):
        return list(names[:high]), scores
    while high - low > 1:  # low is too few, high is enough
        middle = (low + high) // 2
        tried = scores_of(middle)
        if tried.is_good(ALLOWED):
            high, scores = middle, tried
        else:
            low = middle
    return list(names[:high]), scores
