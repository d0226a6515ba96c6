"""The common path of all exports: a model becomes a program, then a runtime's file, and passes the gate."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lvt_core.errors import UserError
from lvt_core.export.folder import export_folder, report_unwritable
from lvt_core.export.forms.graph import Outputs, exportable
from lvt_core.export.gate.choose import Checked, Gate, choose_gate
from lvt_core.export.job import (
    UNBOUNDED,
    Export,
    Job,
    Runtime,
    report_missing_packages,
    require_activations,
    require_modules,
    require_supported,
)
from lvt_core.export.recipe.file import Recipe, default_recipe
from lvt_core.export.runtimes.delegates import Delegation
from lvt_predict.manifest import MANIFEST, sha256
from lvt_predict.model import ExportedModel, installed_version
from lvt_predict.sample import record_sample

# Side of the example that stands for all sizes: on a small one, a map of one row would be taken as constant.
DYNAMIC_SIDE = 128


def export_model(
    model: nn.Module,
    export: Export,
    runtime: Runtime,
    folder: Path,
    *,
    gate: Gate | None = None,
    recipe: Recipe | None = None,
    calibration: Sequence[np.ndarray] = (),
) -> Checked:
    """Write a model for a runtime, once it has passed the gate.

    The folder appears whole, with ``model.json`` beside the runtime's file, or not at all.

    Args:
        model: Model from images to a tensor or a list of them.
        export: Description of the export.
        runtime: Runtime to export to.
        folder: Folder to write; an earlier export is replaced.
        gate: Gate that compares the file with the model; by default float32 parity on drawn images.
        recipe: Layers that stay in float; by default the runtime's recipe for this model.
        calibration: Inputs that calibrate int8.

    Returns:
        Result of the gate.

    Raises:
        UserError: The runtime is not installed or does not support the export, or the gate rejects the file.
    """
    require_supported(export, runtime)
    gate = gate or choose_gate(export, runtime)
    reference = Outputs(model.eval())
    with export_folder(folder) as work:
        job = make_job(model, export, runtime, recipe=recipe, calibration=calibration)
        # The inner check sees the disk while it is still full.
        with report_missing_packages(runtime), report_unwritable(folder):
            write_file(job, runtime, work / runtime.file)
        write_model_manifest(work, export, runtime, None)
        exported = ExportedModel(work, trust=True)  # written here
        checked = gate(reference, exported)
        batch = 1 if export.any_batch else export.batch
        sample = record_sample(exported, (batch, export.channels, *export.size))
        del exported  # some runtimes keep the file open
        write_model_manifest(work, export, runtime, checked, sample)
    return checked


def delegates_of(
    model: nn.Module,
    export: Export,
    runtime: Runtime,
    *,
    recipe: Recipe | None = None,
    calibration: Sequence[np.ndarray] = (),
) -> dict[str, Delegation]:
    """Report how much of a model accelerators' delegates take; nothing is written.

    Args:
        model: Model from images to a tensor or a list of them.
        export: Description of the export.
        runtime: Runtime of the delegates.
        recipe: Layers that stay in float; by default the runtime's recipe for this model.
        calibration: Inputs that calibrate int8.

    Raises:
        UserError: The runtime is not installed, has no delegates, or does not support the export.
    """
    require_supported(export, runtime)
    if export.precision == "int8" and not calibration:
        raise UserError("--precision int8: requires --data FOLDER, whose training images calibrate it")
    if not runtime.delegates:
        raise UserError(f"--to {runtime.name}: has no delegates of accelerators")
    job = make_job(model.eval(), export, runtime, recipe=recipe, calibration=calibration)
    with tempfile.TemporaryDirectory() as folder, report_missing_packages(runtime):
        file = Path(folder, runtime.file)
        write_file(job, runtime, file)
        return {name: delegation(file) for name, delegation in runtime.delegates.items()}


def make_job(
    model: nn.Module,
    export: Export,
    runtime: Runtime,
    *,
    recipe: Recipe | None = None,
    calibration: Sequence[np.ndarray] = (),
) -> Job:
    """Make the input of a converter; the arguments are those of `export_model`."""
    if recipe is None:
        recipe = default_recipe(export.name, runtime.name) if export.precision == "int8" else Recipe()
    job = Job(make_program(model, export, runtime.largest), export, calibration, recipe)
    if export.precision == "int8":
        require_activations(recipe, runtime)
        require_modules(job)
    return job


def make_program(
    model: nn.Module, export: Export, largest: tuple[int, int] = (UNBOUNDED, UNBOUNDED)
) -> torch.export.ExportedProgram:
    """Turn a model into a graph of ordinary operators.

    Args:
        model: Model on images.
        export: Description of the export.
        largest: Most images and longest side, if sizes are free.
    """
    graph = Outputs(exportable(model))
    batch = 2 if export.any_batch else export.batch
    sides = [max(side, DYNAMIC_SIDE) if export.dynamic else side for side in export.size]
    example = torch.randn(batch, export.channels, *sides)
    shapes: Any = None
    if export.any_batch:
        free: Any = torch.export.Dim.AUTO
        side = free(min=export.min_size, max=largest[1]) if export.dynamic else None
        shapes = ({0: free(min=1, max=largest[0]), 2: side, 3: side},)
    with torch.no_grad():
        return torch.export.export(graph, (example,), dynamic_shapes=shapes)


def write_file(job: Job, runtime: Runtime, file: Path) -> None:
    """Write the runtime's file of a job, in its precision."""
    if runtime.quantize is None or job.export.precision == "fp32":
        runtime.convert(job, file)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, runtime.file)
        runtime.convert(job, source)
        runtime.quantize(job, source, file)


def write_model_manifest(
    folder: Path,
    export: Export,
    runtime: Runtime,
    checked: Checked | None,
    sample: dict[str, Any] | None = None,
) -> None:
    """Write the ``model.json`` of one network: how to use the file, and what was checked."""
    most, longest = runtime.largest
    spatial: list[Any] = [[export.min_size, longest]] * 2 if export.dynamic else list(export.size)
    content = {
        "model": export.name,
        "runtime": runtime.name,
        "precision": export.precision,
        "file": runtime.file,
        "input": [[1, most] if export.any_batch else export.batch, export.channels, *spatial],
        "mean": list(export.mean),
        "std": list(export.std),
        "preprocessing": {
            "colours": "RGB" if export.channels == 3 else None,
            "range": [0, 1],  # before mean and std
            "interpolation": export.interpolation,
            "crop_pct": export.crop_pct,
            "crop_mode": export.crop_mode if export.crop_pct else None,
            "size": list(export.size) if export.dynamic and export.crop_pct else None,
            "sides": list(export.sides) if export.sides else None,
            "exif": export.exif,
        },
        "outputs": export.outputs,
        "num_classes": export.num_classes,
        "first_class": export.first_class,
        "mask_values": list(export.mask_values) if export.mask_values else None,
        "classes": list(export.classes) if export.classes else None,
        "palette": [list(colour) for colour in export.palette] if export.palette else None,
    }
    write_manifest(folder, runtime, content, checked, sample=sample)


def write_manifest(
    folder: Path, runtime: Runtime, content: dict[str, Any], checked: Checked | None, **more: Any
) -> None:
    """Write ``model.json``: some content, the gate's result, versions, and the checksums of all files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    content = {
        **content,
        "parity": asdict(checked) if checked else None,
        **more,
        "checked_by": runtime.checked_by,
        "versions": {
            "python": platform.python_version(),
            **{package: installed_version(package) for package in ("torch", *runtime.packages)},
        },
        "sha256": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n")
