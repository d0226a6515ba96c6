"""The common path of all exports: a model becomes a program, the runtime's file, and passes the gate."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from lvt_core.export.delegates import Delegation
from lvt_core.export.gate import Checked, check_parity, check_scores
from lvt_core.export.graph import Outputs, exportable
from lvt_core.export.labelled import Labelled
from lvt_core.export.recipe import Recipe, read_recipe
from lvt_core.files import require_writable_folder
from lvt_core.predict import MANIFEST, ExportedModel, read_manifest, sha256
from lvt_core.predict_sample import record_sample

PRECISIONS = ("fp32", "fp16", "int8")
BFLOAT16 = "bf16"  # no weights' type, but what a runtime may compute in, if the processor does

LARGEST = 2**16  # where a runtime needs no bound

Check = Callable[[nn.Module, ExportedModel], Checked]


@dataclass(frozen=True)
class Runtime:
    """What a runtime needs and can do.

    Attributes:
        file: Name of the file, or folder of files, that it reads.
        packages: What writes and runs it: distributions, for `pip install`.
        convert: Writes the file of a job.
        dynamic: Takes batches and images of any size, up to `largest`.
        precisions: Of `PRECISIONS` and `BFLOAT16`, those that it has.
        checks: For each accelerator's delegate, by name, what tells how much of a job it takes.
        checked_by: What the gate runs the file by.
        largest: Most images at a time, and their longest side, of a dynamic file.
    """

    file: str
    packages: tuple[str, ...]
    convert: Callable[[Job, Path], None]
    dynamic: bool
    precisions: tuple[str, ...] = ("fp32",)
    checks: Mapping[str, Callable[[Job], Delegation]] = field(default_factory=dict)
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
    job = make_job(model, export, runtime_name, runtime, data=data, recipe=recipe, calibration=calibration)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        work = Path(temporary) / folder.name
        work.mkdir()
        with packages_named(runtime_name, runtime):
            runtime.convert(job, work / runtime.file)
        write_manifest(work, export, runtime_name, runtime, None)
        exported = ExportedModel(work)
        checked: Checked
        if check is not None:
            checked = check(reference, exported)
        elif export.precision == "fp32":
            checked = check_parity(reference, exported, sizes=_sizes(export, runtime.largest), data=data)
        else:
            assert data is not None  # require_possible
            checked = check_scores(reference, exported, data)
        sample = record_sample(
            exported, (1 if export.dynamic else export.batch, export.channels, *export.size)
        )
        del exported  # some runtimes keep the file open
        write_manifest(work, export, runtime_name, runtime, checked, sample)
        put_in_place(work, folder, Path(temporary) / "old")
    return checked


def check_delegates(
    model: nn.Module,
    export: Export,
    runtime_name: str,
    runtime: Runtime,
    *,
    data: Labelled | None = None,
    recipe: Recipe | None = None,
) -> dict[str, Delegation]:
    """How much of a model accelerators' delegates take; nothing is written.

    Args:
        model: Takes images, gives a tensor or a list of them.
        export: What would be exported.
        runtime_name: Its name, as `lvt_core.predict` knows it.
        runtime: Where to.
        data: Labelled images, whose training images calibrate int8.
        recipe: Which layers stay in float; the runtime's own for this model by default.

    Raises:
        UserError: The runtime is not installed, has no delegates, or cannot do what is asked.
    """
    require_possible(export, runtime_name, runtime, judged=data is not None)
    if not runtime.checks:
        raise UserError(f"--check: {runtime_name} has no accelerator's delegate to ask")
    job = make_job(model.eval(), export, runtime_name, runtime, data=data, recipe=recipe)
    with packages_named(runtime_name, runtime):
        return {name: check(job) for name, check in runtime.checks.items()}


def make_job(
    model: nn.Module,
    export: Export,
    runtime_name: str,
    runtime: Runtime,
    *,
    data: Labelled | None = None,
    recipe: Recipe | None = None,
    calibration: Sequence[np.ndarray] | None = None,
) -> Job:
    """What a converter needs; the arguments are those of `export_model`."""
    if calibration is None:
        calibration = data.calibration() if data and export.precision == "int8" else []
    if recipe is None:
        recipe = read_recipe(export.name, runtime_name) if export.precision == "int8" else Recipe()
    return Job(make_program(model, export, runtime.largest), export, calibration, recipe)


@contextmanager
def packages_named(runtime_name: str, runtime: Runtime) -> Iterator[None]:
    """Tell what to install where a package is missing.

    Raises:
        UserError: One is.
    """
    try:
        yield
    except ImportError as error:
        needed = " ".join(runtime.packages)
        raise UserError(f"--to {runtime_name}: needs {error.name}: pip install {needed}") from error


def make_program(
    model: nn.Module, export: Export, largest: tuple[int, int] = (LARGEST, LARGEST)
) -> torch.export.ExportedProgram:
    """The model as a graph of ordinary operators.

    Args:
        model: Takes images.
        export: What to export.
        largest: Most images and longest side, if dynamic.
    """
    graph = Outputs(exportable(model))
    batch = 2 if export.dynamic else export.batch
    example = torch.randn(batch, export.channels, *export.size)
    shapes: Any = None
    if export.dynamic:
        free: Any = torch.export.Dim.AUTO
        side = free(min=export.min_size, max=largest[1])
        shapes = ({0: free(min=1, max=largest[0]), 2: side, 3: side},)
    with torch.no_grad():
        return torch.export.export(graph, (example,), dynamic_shapes=shapes)


def write_manifest(
    folder: Path,
    export: Export,
    runtime_name: str,
    runtime: Runtime,
    checked: Checked | None,
    sample: dict[str, Any] | None = None,
) -> None:
    """``model.json``: all that is needed to use the file, and what was checked."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    most, longest = runtime.largest
    spatial: list[Any] = [[export.min_size, longest]] * 2 if export.dynamic else list(export.size)
    content = {
        "model": export.name,
        "runtime": runtime_name,
        "precision": export.precision,
        "file": runtime.file,
        "input": [[1, most] if export.dynamic else export.batch, export.channels, *spatial],
        "mean": list(export.mean),
        "std": list(export.std),
        "classes": list(export.classes) if export.classes else None,
        "parity": asdict(checked) if checked else None,
        "sample": sample,
        "checked_by": runtime.checked_by,
        "versions": versions(runtime),
        "sha256": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
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


def require_replaceable(folder: Path) -> None:
    """Refuse to write over anything but an earlier export.

    Raises:
        UserError: The folder is a file, or holds what no export wrote.
    """
    if not folder.exists():
        return
    if folder.is_dir():
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        written = set(read_manifest(folder)["sha256"]) | {MANIFEST} if MANIFEST in names else set()
        if names <= written:
            return
    raise UserError(f"--output {folder}: is there already and is no export alone; choose another folder")


def put_in_place(work: Path, folder: Path, old: Path) -> None:
    """Rename a finished folder; an earlier export goes to `old`, and comes back if that fails."""
    if not folder.exists():
        work.rename(folder)
        return
    folder.rename(old)
    try:
        work.rename(folder)
    except OSError:
        old.rename(folder)
        raise


def _sizes(export: Export, largest: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Batches and sizes to compare: dynamic ones with odd sizes, too."""
    height, width = export.size
    if not export.dynamic:
        return [(export.batch, height, width)]
    drawn = [(1, height, width), (3, height + 27, width - 13), (2, height // 2, width + 1)]
    most, longest = largest

    def fit(side: int) -> int:
        return min(max(side, export.min_size), longest)

    return [(min(batch, most), fit(height), fit(width)) for batch, height, width in drawn]


def versions(runtime: Runtime) -> dict[str, str]:
    """Of Python, PyTorch and what writes and runs the file."""
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", *runtime.packages)},
    }
