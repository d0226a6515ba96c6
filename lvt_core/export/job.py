"""The parts of an export: what to export, what a runtime is, and what a converter is given."""

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
from lvt_core.export.recipe.file import ACTIVATIONS, Recipe
from lvt_core.export.runtimes.delegates import Delegation
from lvt_predict.model import missing

PRECISIONS = ("fp32", "fp16", "int8")
BFLOAT16 = "bf16"  # not a type of weights, but what a runtime may compute in, if the processor supports it

UNBOUNDED = 2**16  # images, or pixels of a side, where a runtime needs no bound


@dataclass(frozen=True)
class Runtime:
    """A runtime: what it needs, and what it supports.

    Attributes:
        name: Name, as in `lvt_predict.runtimes`.
        file: Name of the file, or folder of files, that the runtime reads.
        packages: Distributions that write and run the file, for `pip install`.
        convert: Function that writes the file of a job; in float32, if there is a `quantize`.
        dynamic: The file supports batches and images of any size, up to `largest`.
        precisions: Supported precisions, out of `PRECISIONS` and `BFLOAT16`.
        quantize: Function that makes a job's file of lower precision from the float32 one, if it is a step of
            its own.
        activations: Kinds of activations that its int8 supports, out of `ACTIVATIONS`.
        delegates: Functions that report how much of a file an accelerator's delegate takes, by delegate.
        checked_by: Program in which the gate runs the file.
        largest: Most images at a time, and their longest side, for a file with free sizes.
        opsets: Lowest and highest version of ONNX's operators that a file may have, if it has one.
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
    largest: tuple[int, int] = (UNBOUNDED, UNBOUNDED)
    opsets: tuple[int, int] | None = None


@dataclass(frozen=True)
class Export:
    """The description of an export.

    Attributes:
        name: Name of the model.
        size: Height and width; those of the example, if sizes are free.
        dynamic: Batches and sizes are free.
        precision: Precision, out of `PRECISIONS`, or `BFLOAT16`.
        classes: Names of the classes, if they are known.
        palette: Colour ``(R, G, B)`` of each class, if they are known.
        num_classes: Number of classes, if the network has a task.
        first_class: Value of the first class in label maps, if it is known.
        mask_values: Value of each class in label maps, if they are not counted from the first one.
        outputs: Kind of the outputs: ``logits``, ``labels``, ``maps``.
        interpolation: Resampling that brings images to the size.
        crop_pct: Part of an image, by its side, that the crop keeps, if there is a crop.
        crop_mode: How a crop keeps the image's proportions.
        sides: Longest side and longest short side of images, where sizes are free.
        mean: Pixel mean in 0..1.
        std: Pixel deviation in 0..1.
        batch: Images at a time, if they are not free.
        free_batch: The number of images is free, at one size.
        opset: Version of ONNX's operators; ``None`` for the runtime's default.
        input: Name of the input, where a file has names.
        channels: Channels of an image.
        min_size: Shortest side that the network supports.
        exif: Images are turned as their EXIF data say.
    """

    name: str
    size: tuple[int, int] = (224, 224)
    dynamic: bool = False
    precision: str = "fp32"
    classes: Sequence[str] | None = None
    palette: Sequence[Sequence[int]] | None = None
    num_classes: int | None = None
    first_class: int | None = None
    mask_values: Sequence[int] | None = None
    outputs: str = "maps"
    interpolation: str = "bilinear"
    crop_pct: float | None = None
    crop_mode: str = "center"
    sides: tuple[int, int] | None = None
    mean: Sequence[float] = field(default=IMAGENET_DEFAULT_MEAN)
    std: Sequence[float] = field(default=IMAGENET_DEFAULT_STD)
    batch: int = 1
    channels: int = 3
    min_size: int = MIN_INPUT_SIZE
    exif: bool = True
    free_batch: bool = False
    opset: int | None = None
    input: str = "images"

    @property
    def any_batch(self) -> bool:
        """Whether the number of images is free, with or without their size."""
        return self.dynamic or self.free_batch

    def __post_init__(self) -> None:
        if min(self.size) < self.min_size:
            raise UserError(f"--size {self.size[0]} {self.size[1]}: must be at least {self.min_size}")


@dataclass(frozen=True)
class Job:
    """The input of a runtime's converter.

    Attributes:
        program: Network as a graph, float32.
        export: Description of the export.
        calibration: Images ``(1, 3, H, W)``, normalised, for int8.
        recipe: Layers that stay in float, for int8.
    """

    program: torch.export.ExportedProgram
    export: Export
    calibration: Sequence[np.ndarray] = ()
    recipe: Recipe = field(default_factory=Recipe)


def require_supported(export: Export, runtime: Runtime) -> None:
    """Reject what a runtime does not support.

    Raises:
        UserError: The runtime does not support free sizes, the precision, or the version of ONNX's operators.
    """
    if export.free_batch and not runtime.dynamic:
        raise UserError(f"--batch dynamic: {runtime.name} only supports one number of images; name it")
    if export.opset is not None and runtime.opsets is None:
        raise UserError(f"--opset {export.opset}: does not apply to {runtime.name}, only to onnx")
    if export.opset is not None and runtime.opsets is not None:
        lowest, highest = runtime.opsets
        if not lowest <= export.opset <= highest:
            raise UserError(f"--opset {export.opset}: must be from {lowest} to {highest}")
    if export.dynamic and not runtime.dynamic:
        raise UserError(f"--size dynamic: {runtime.name} only supports one size; name it")
    if export.precision not in runtime.precisions:
        raise UserError(
            f"--precision {export.precision}: {runtime.name} only supports {', '.join(runtime.precisions)}"
        )


def require_activations(recipe: Recipe, runtime: Runtime) -> None:
    """Reject a recipe whose activations a runtime's int8 does not support.

    Raises:
        UserError: The activations are not supported.
    """
    if recipe.activations not in runtime.activations:
        supported = ", ".join(runtime.activations)
        raise UserError(
            f"recipe: activations {recipe.activations!r}: {runtime.name} only supports {supported}"
        )


def require_modules(job: Job) -> None:
    """Reject a recipe with a name that is not a module of the network.

    Raises:
        UserError: A name is not a module with weights.
    """
    names = [name.removeprefix("model.") for name in job.program.state_dict]
    layers = [name for name in names if "." in name]
    for name in job.recipe.floats:
        if not any(layer.startswith(f"{name}.") for layer in layers):
            raise UserError(
                f"recipe: floats {name!r}: not a module of {job.export.name}; {layers[0]!r} is one"
            )


@contextmanager
def report_missing_packages(runtime: Runtime) -> Iterator[None]:
    """Turn a package that cannot be imported into a sentence.

    Raises:
        UserError: A package cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        raise UserError(f"--to {runtime.name}: {missing(error, ' '.join(runtime.packages))}") from error
