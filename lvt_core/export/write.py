"""The common path of all exports: a model becomes a program, the runtime's file, and passes the gate."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.folder import (
    require_replaceable,
    told_what_cannot_be_written,
)
from lvt_core.export.forms.graph import Outputs, exportable
from lvt_core.export.gate.gate import Checked, check_parity, check_runs, check_scores
from lvt_core.export.gate.labelled import Labelled
from lvt_core.export.job import (
    LARGEST,
    Export,
    Job,
    Runtime,
    require_activations,
    require_modules,
    require_possible,
    told_what_is_missing,
)
from lvt_core.export.recipe.recipe import Recipe, read_recipe
from lvt_core.export.runtimes.delegates import Delegation
from lvt_core.files import new_folder, require_writable_folder
from lvt_predict.manifest import MANIFEST, sha256
from lvt_predict.model import ExportedModel, installed_version
from lvt_predict.sample import record_sample

# Of the example that stands for all sizes: a map of one row or column would be taken to have one always.
DYNAMIC_SIDE = 128

Check = Callable[[nn.Module, ExportedModel], Checked]


def export_model(
    model: nn.Module,
    export: Export,
    runtime: Runtime,
    folder: Path,
    *,
    data: Labelled | None = None,
    recipe: Recipe | None = None,
    check: Check | None = None,
    before: nn.Module | None = None,
    calibration: Sequence[np.ndarray] | None = None,
) -> Checked:
    """Write a model for a runtime, once its outputs are those of the model.

    The folder appears whole, with ``model.json`` beside the runtime's file, or not at all.

    Args:
        model: Takes images, gives a tensor or a list of them.
        export: What to export.
        runtime: Where to.
        folder: What to write; an earlier export that is there is replaced.
        data: Labelled images: float32 is compared on them, float16 and int8 are judged and calibrated.
        recipe: Which layers stay in float; the runtime's own for this model by default.
        check: The gate, for a network whose input is no image or whose task is no network's alone.
        before: What the model was before it was fine-tuned for int8: its score is the one to keep.
        calibration: Its inputs for int8; by default those of `data`.

    Returns:
        What was checked, and found good.

    Raises:
        UserError: The runtime is not installed, cannot do what is asked, or its outputs differ.
    """
    require_possible(export, runtime, judged=data is not None or check is not None)
    require_replaceable(folder)
    require_writable_folder(folder.parent)
    reference = Outputs(model.eval())
    job = make_job(model, export, runtime, data=data, recipe=recipe, calibration=calibration)
    with told_what_cannot_be_written(folder), new_folder(folder) as work:
        # Asked here, too: a disk is no longer full once the temporary folder is gone.
        with told_what_is_missing(runtime), told_what_cannot_be_written(folder):
            write_file(job, runtime, work / runtime.file)
        write_manifest(work, export, runtime, None)
        exported = ExportedModel(work)
        checked: Checked
        if check is not None:
            checked = check(reference, exported)
        elif export.precision == "fp32":
            sizes = _sizes(export, runtime.largest)
            checked = check_parity(reference, exported, sizes=sizes, data=data, channels=export.channels)
        else:
            assert data is not None  # require_possible
            if export.dynamic:
                sizes = _sizes(export, runtime.largest)
                check_runs(reference, exported, sizes, channels=export.channels)
            checked = check_scores(reference, exported, data, before=before and Outputs(before.eval()))
        batch = 1 if export.dynamic else export.batch
        sample = record_sample(exported, (batch, export.channels, *export.size))
        del exported  # some runtimes keep the file open
        write_manifest(work, export, runtime, checked, sample)
    return checked


def check_delegates(
    model: nn.Module,
    export: Export,
    runtime: Runtime,
    *,
    recipe: Recipe | None = None,
    calibration: Sequence[np.ndarray] | None = None,
) -> dict[str, Delegation]:
    """How much of a model accelerators' delegates take; nothing is written.

    Args:
        model: Takes images, gives a tensor or a list of them.
        export: What would be exported.
        runtime: Where to.
        recipe: Which layers stay in float; the runtime's own for this model by default.
        calibration: Its inputs for int8.

    Raises:
        UserError: The runtime is not installed, has no delegates, or cannot do what is asked.
    """
    calibrated = export.precision != "int8" or calibration is not None
    require_possible(export, runtime, judged=calibrated)
    if not runtime.delegates:
        raise UserError(f"--check: {runtime.name} has no accelerator's delegate to ask")
    job = make_job(model.eval(), export, runtime, recipe=recipe, calibration=calibration)
    with tempfile.TemporaryDirectory() as folder, told_what_is_missing(runtime):
        file = Path(folder, runtime.file)
        write_file(job, runtime, file)
        return {name: delegation_of(file) for name, delegation_of in runtime.delegates.items()}


def make_job(
    model: nn.Module,
    export: Export,
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
        recipe = read_recipe(export.name, runtime.name) if export.precision == "int8" else Recipe()
    job = Job(make_program(model, export, runtime.largest), export, calibration, recipe)
    if export.precision == "int8":
        require_activations(recipe, runtime)
        require_modules(job)
    return job


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
    sides = [max(side, DYNAMIC_SIDE) if export.dynamic else side for side in export.size]
    example = torch.randn(batch, export.channels, *sides)
    shapes: Any = None
    if export.dynamic:
        free: Any = torch.export.Dim.AUTO
        side = free(min=export.min_size, max=largest[1])
        shapes = ({0: free(min=1, max=largest[0]), 2: side, 3: side},)
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


def write_manifest(
    folder: Path,
    export: Export,
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
        "runtime": runtime.name,
        "precision": export.precision,
        "file": runtime.file,
        "input": [[1, most] if export.dynamic else export.batch, export.channels, *spatial],
        "mean": list(export.mean),
        "std": list(export.std),
        "preprocessing": {
            "colours": "RGB" if export.channels == 3 else None,
            "range": [0, 1],  # before mean and std
            "interpolation": export.interpolation,
            "crop_pct": export.crop_pct,
        },
        "outputs": export.outputs,
        "classes": list(export.classes) if export.classes else None,
        "palette": [list(colour) for colour in export.palette] if export.palette else None,
        "parity": asdict(checked) if checked else None,
        "sample": sample,
        "checked_by": runtime.checked_by,
        "versions": versions(runtime),
        "sha256": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n")


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
        **{package: installed_version(package) for package in ("torch", *runtime.packages)},
    }
