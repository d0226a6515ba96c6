"""What is asked of an export, and what runtimes are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from lvt_core.config import MIN_INPUT_SIZE
from lvt_core.errors import UserError
from lvt_core.export.recipe.recipe import ACTIVATIONS, Recipe
from lvt_core.export.runtimes.delegates import Delegation
from lvt_predict.model import missing

PRECISIONS = ("fp32", "fp16", "int8")
BFLOAT16 = "bf16"  # no weights' type, but what a runtime may compute in, if the processor does

LARGEST = 2**16  # where a runtime needs no bound


@dataclass(frozen=True)
class Runtime:
    """What a runtime needs and can do.

    Attributes:
        name: As `lvt_predict.model` knows it.
        file: Name of the file, or folder of files, that it reads.
        packages: What writes and runs it: distributions, for `pip install`.
        convert: Writes the file of a job; in float32, if there is a `quantize`.
        dynamic: Takes batches and images of any size, up to `largest`.
        precisions: Of `PRECISIONS` and `BFLOAT16`, those that it has.
        quantize: Makes a job's file of lower precision of the float32 one; ``None`` if there is no such step.
        activations: Of a `Recipe`, those that its int8 has.
        delegates: Accelerators, by name, and what tells how much of a file they take.
        checked_by: What the gate runs the file by.
        largest: Most images at a time, and their longest side, of a dynamic file.
    """

    name: str
    file: str
    packages: tuple[str, ...]
    convert: Callable[[Job, Path], None]
    dynamic: bool
    precisions: tuple[str, ...] = ("fp32",)
    quantize: Callable[[Job, Path, Path], None] | None = None
    activations: tuple[str, ...] = ACTIVATIONS
    delegates: Mapping[str, Callable[[Path], Delegation]] = field(default_factory=dict)
    checked_by: str = "the runtime"
    largest: tuple[int, int] = (LARGEST, LARGEST)


@dataclass(frozen=True)
class Export:
    """What to export.

    Attributes:
        name: Of the model.
        size: Height and width; the example's, if dynamic.
        dynamic: Batches and sizes are free.
        precision: Of `PRECISIONS`, or `BFLOAT16`.
        classes: Names, if they are known.
        palette: A colour ``(R, G, B)`` for each class, if they are known.
        outputs: What they are: ``logits``, ``labels``, ``maps``.
        interpolation: How images were brought to the size.
        crop_pct: Part of an image, by its side, that is kept, if less than all is.
        mean: Pixel mean in 0..1.
        std: Pixel deviation in 0..1.
        batch: Images at a time, if not dynamic.
        channels: Of an image.
        min_size: Shortest side that the network takes.
    """

    name: str
    size: tuple[int, int] = (224, 224)
    dynamic: bool = False
    precision: str = "fp32"
    classes: Sequence[str] | None = None
    palette: Sequence[Sequence[int]] | None = None
    outputs: str = "maps"
    interpolation: str = "bilinear"
    crop_pct: float | None = None
    mean: Sequence[float] = field(default=IMAGENET_DEFAULT_MEAN)
    std: Sequence[float] = field(default=IMAGENET_DEFAULT_STD)
    batch: int = 1
    channels: int = 3
    min_size: int = MIN_INPUT_SIZE

    def __post_init__(self) -> None:
        if min(self.size) < self.min_size:
            raise UserError(f"--size {self.size[0]} {self.size[1]}: must be at least {self.min_size}")


@dataclass(frozen=True)
class Job:
    """What a runtime's converter is given.

    Attributes:
        program: The network as a graph, float32.
        export: What is asked.
        calibration: Images ``(1, 3, H, W)``, normalised, for int8.
        recipe: Which layers stay in float, for int8.
    """

    program: torch.export.ExportedProgram
    export: Export
    calibration: Sequence[np.ndarray] = ()
    recipe: Recipe = field(default_factory=Recipe)


def require_possible(export: Export, runtime: Runtime, *, judged: bool) -> None:
    """Refuse what a runtime has not.

    Raises:
        UserError: It takes one size, lacks the precision, or there is nothing to judge a lower one by.
    """
    if export.dynamic and not runtime.dynamic:
        raise UserError(f"--size dynamic: {runtime.name} takes one size")
    if export.precision not in runtime.precisions:
        raise UserError(f"--precision {export.precision}: {runtime.name} has {', '.join(runtime.precisions)}")
    if export.precision != "fp32" and not judged:
        raise UserError(
            f"--precision {export.precision}: needs --data FOLDER, labelled images that it is judged on"
        )


def require_activations(recipe: Recipe, runtime: Runtime) -> None:
    """Refuse a recipe whose activations a runtime's int8 has not.

    Raises:
        UserError: It has others.
    """
    if recipe.activations not in runtime.activations:
        has = ", ".join(runtime.activations)
        raise UserError(f"recipe: activations {recipe.activations!r}: {runtime.name} has {has}")


def require_modules(job: Job) -> None:
    """Refuse a recipe that names what the network has not.

    Raises:
        UserError: A name is of no module with weights.
    """
    names = [name.removeprefix("model.") for name in job.program.state_dict]
    layers = [name for name in names if "." in name]
    for name in job.recipe.floats:
        if not any(layer.startswith(f"{name}.") for layer in layers):
            raise UserError(f"recipe: floats {name!r}: no module of {job.export.name}, as {layers[0]!r} is")


@contextmanager
def told_what_is_missing(runtime: Runtime) -> Iterator[None]:
    """Turn a package that cannot be imported into a sentence.

    Raises:
        UserError: One cannot.
    """
    try:
        yield
    except ImportError as error:
        raise UserError(f"--to {runtime.name}: {missing(error, ' '.join(runtime.packages))}") from error
