"""The common path of all exports: a model becomes a program, the runtime's file, and passes the gate."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from lvt_core.config import MIN_INPUT_SIZE
from lvt_core.errors import UserError
from lvt_core.export.folder import put_in_place, require_replaceable
from lvt_core.export.gate import Checked, check_parity, check_scores
from lvt_core.export.graph import Outputs, exportable
from lvt_core.export.labelled import Labelled
from lvt_core.export.recipe import ACTIVATIONS, Recipe, read_recipe
from lvt_core.files import require_writable_folder
from lvt_core.predict import MANIFEST, ExportedModel, sha256

PRECISIONS = ("fp32", "fp16", "int8")

LARGEST = 2**16  # where a runtime needs no bound

Check = Callable[[nn.Module, ExportedModel], Checked]


@dataclass(frozen=True)
class Runtime:
    """What a runtime needs and can do.

    Attributes:
        file: Name of the file it reads.
        packages: What writes and runs it: distributions, for `pip install`.
        convert: Writes the file of a job; in float32, if there is a `quantize`.
        dynamic: Takes batches and images of any size.
        precisions: Of `PRECISIONS`, those that it has.
        quantize: Makes a job's file of lower precision of the float32 one; ``None`` if there is no such step.
        activations: Of a `Recipe`, those that its int8 has.
    """

    file: str
    packages: tuple[str, ...]
    convert: Callable[[Job, Path], None]
    dynamic: bool
    precisions: tuple[str, ...] = ("fp32",)
    quantize: Callable[[Job, Path, Path], None] | None = None
    activations: tuple[str, ...] = ACTIVATIONS


@dataclass(frozen=True)
class Export:
    """What to export.

    Attributes:
        name: Of the model.
        size: Height and width; the example's, if dynamic.
        dynamic: Batches and sizes are free.
        precision: Of `PRECISIONS`.
        classes: Names, if they are known.
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


def export_model(
    model: nn.Module,
    export: Export,
    runtime_name: str,
    runtime: Runtime,
    folder: Path,
    *,
    data: Labelled | None = None,
    recipe: Recipe | None = None,
    check: Check | None = None,
    calibration: Sequence[np.ndarray] | None = None,
) -> Checked:
    """Write a model for a runtime, once its outputs are those of the model.

    The folder appears whole, with ``model.json`` beside the runtime's file, or not at all.

    Args:
        model: Takes images, gives a tensor or a list of them.
        export: What to export.
        runtime_name: Its name, as `lvt_core.predict` knows it.
        runtime: Where to.
        folder: What to write; an earlier export that is there is replaced.
        data: Labelled images: float32 is compared on them, float16 and int8 are judged and calibrated.
        recipe: Which layers stay in float; the runtime's own for this model by default.
        check: The gate, for a network whose input is no image or whose task is no network's alone.
        calibration: Its inputs for int8; by default those of `data`.

    Returns:
        What was checked, and found good.

    Raises:
        UserError: The runtime is not installed, cannot do what is asked, or its outputs differ.
    """
    require_possible(export, runtime_name, runtime, judged=data is not None or check is not None)
    require_writable_folder(folder.parent)
    require_replaceable(folder)
    reference = Outputs(model.eval())
    if calibration is None:
        calibration = data.calibration() if data and export.precision == "int8" else []
    if recipe is None:
        recipe = read_recipe(export.name, runtime_name) if export.precision == "int8" else Recipe()
    if export.precision == "int8":
        require_activations(recipe, runtime_name, runtime)
    job = Job(make_program(model, export), export, calibration, recipe)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        work = Path(temporary) / folder.name
        work.mkdir()
        with told_what_is_missing(runtime_name, runtime):
            write_file(job, runtime, work / runtime.file)
        write_manifest(work, export, runtime_name, runtime, None)
        exported = ExportedModel(work)
        checked: Checked
        if check is not None:
            checked = check(reference, exported)
        elif export.precision == "fp32":
            checked = check_parity(reference, exported, sizes=_sizes(export), data=data)
        else:
            assert data is not None  # require_possible
            checked = check_scores(reference, exported, data)
        del exported  # some runtimes keep the file open
        write_manifest(work, export, runtime_name, runtime, checked)
        put_in_place(work, folder, Path(temporary) / "old")
    return checked


def make_program(model: nn.Module, export: Export) -> torch.export.ExportedProgram:
    """The model as a graph of ordinary operators."""
    graph = Outputs(exportable(model))
    batch = 2 if export.dynamic else export.batch
    example = torch.randn(batch, export.channels, *export.size)
    shapes: Any = None
    if export.dynamic:
        dim = torch.export.Dim.AUTO
        shapes = ({0: dim, 2: dim, 3: dim},)
    with torch.no_grad():
        return torch.export.export(graph, (example,), dynamic_shapes=shapes)


def write_file(job: Job, runtime: Runtime, file: Path) -> None:
    """The runtime's file of a job, in its precision."""
    if runtime.quantize is None or job.export.precision == "fp32":
        runtime.convert(job, file)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, runtime.file)
        runtime.convert(job, source)
        runtime.quantize(job, source, file)


@contextmanager
def told_what_is_missing(runtime_name: str, runtime: Runtime) -> Iterator[None]:
    """Turn a package that cannot be imported into a sentence."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"--to {runtime_name}: needs {error.name}: pip install {' '.join(runtime.packages)}"
        ) from error


def write_manifest(
    folder: Path, export: Export, runtime_name: str, runtime: Runtime, checked: Checked | None
) -> None:
    """``model.json``: all that is needed to use the file, and what was checked."""
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    spatial: list[Any] = [[export.min_size, LARGEST]] * 2 if export.dynamic else list(export.size)
    content = {
        "model": export.name,
        "runtime": runtime_name,
        "precision": export.precision,
        "file": runtime.file,
        "input": [[1, LARGEST] if export.dynamic else export.batch, export.channels, *spatial],
        "mean": list(export.mean),
        "std": list(export.std),
        "classes": list(export.classes) if export.classes else None,
        "parity": asdict(checked) if checked else None,
        "versions": versions(runtime),
        "sha256": {path.name: sha256(path) for path in files},
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n")


def require_possible(export: Export, runtime_name: str, runtime: Runtime, *, judged: bool) -> None:
    """Refuse what a runtime has not.

    Raises:
        UserError: It takes one size, lacks the precision, or there is nothing to judge a lower one by.
    """
    if export.dynamic and not runtime.dynamic:
        raise UserError(f"--size dynamic: {runtime_name} takes one size")
    if export.precision not in runtime.precisions:
        raise UserError(f"--precision {export.precision}: {runtime_name} has {', '.join(runtime.precisions)}")
    if export.precision != "fp32" and not judged:
        raise UserError(
            f"--precision {export.precision}: needs --data FOLDER, labelled images that it is judged on"
        )


def require_activations(recipe: Recipe, runtime_name: str, runtime: Runtime) -> None:
    """Refuse a recipe whose activations a runtime's int8 has not.

    Raises:
        UserError: It has others.
    """
    if recipe.activations not in runtime.activations:
        has = ", ".join(runtime.activations)
        raise UserError(f"recipe: activations {recipe.activations!r}: {runtime_name} has {has}")


def _sizes(export: Export) -> list[tuple[int, int, int]]:
    """Batches and sizes to compare: dynamic ones with odd sizes, too."""
    height, width = export.size
    if not export.dynamic:
        return [(export.batch, height, width)]
    odd = (3, height + 27, max(MIN_INPUT_SIZE, width - 13))
    return [(1, height, width), odd, (2, max(MIN_INPUT_SIZE, height // 2), width + 1)]


def versions(runtime: Runtime) -> dict[str, str]:
    """Of Python, PyTorch and what writes and runs the file."""
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", *runtime.packages)},
    }
