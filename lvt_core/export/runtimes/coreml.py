"""Core ML, by coremltools: an ML program in a package, a folder of files.

Core ML runs on Apple's systems alone. Elsewhere the gate runs the file by `lvt_predict.coreml_interpreter.program`, operator
by operator: what the file says is checked, what a device makes of it is not.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvt_core.export.job import Job
from lvt_core.export.recipe.recipe import Recipe
from lvt_core.files import write_whole
from lvt_predict.coreml_interpreter.program import quiet

INTERPRETER = "an interpreter of the saved program in numpy; not Core ML, not a device"
CHECKED_BY = "Core ML" if sys.platform == "darwin" else INTERPRETER
QUANTIZED = {"linear", "conv", "conv_transpose"}  # operators whose weights become int8
NOTES = "executorch_debug_handle_mapping.json"  # coremltools' own, of programs from PyTorch


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.mlpackage``: float16 and int8 compute in float16, which the Neural Engine needs.

    Raises:
        ImportError: coremltools is not installed.
    """
    precision = job.export.precision
    model = converted(job.program, half=precision != "fp32")
    if precision == "int8":
        model = quantized(model, job.program, job.recipe)
    save(model, file)


def converted(program: torch.export.ExportedProgram, *, half: bool) -> Any:
    """A program as coremltools' model: images and outputs in float32, what lies between in float16 or not."""
    with quiet():
        import coremltools as ct

    program = program.run_decompositions({torch.ops.aten.alias.default: lambda x: x})  # it takes no alias
    count = len(program.graph_signature.user_outputs)
    values = [node.meta["val"] for node in program.graph.output_node().args[0]][-count:]
    types = [np.float32 if value.is_floating_point() else np.int32 for value in values]
    return ct.convert(
        program,
        outputs=[ct.TensorType(name=f"output_{i}", dtype=types[i]) for i in range(count)],
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
    )


def quantized(model: Any, program: torch.export.ExportedProgram, recipe: Recipe) -> Any:
    """A model in float16 with weights in int8, symmetric, by channel.

    Activations stay float16: coremltools finds ranges for them by Core ML itself, on macOS.
    """
    from coremltools.optimize import coreml as optimize

    to_int8 = optimize.OpLinearQuantizerConfig(
        mode="linear_symmetric", granularity="per_channel", weight_threshold=0
    )
    names = _int8_weights(model, program, recipe)
    config = optimize.OptimizationConfig(op_name_configs=dict.fromkeys(names, to_int8))
    return optimize.linear_quantize_weights(model, config)


def _int8_weights(model: Any, program: torch.export.ExportedProgram, recipe: Recipe) -> Iterator[str]:
    """Names of the weights of layers, but for those that the recipe keeps in float.

    They are found by their values: the converter gives other names to weights that it reshapes. Weights and
    not layers are named to coremltools: layers may share a bias with a norm, which it takes for a conflict.
    """
    floats = set()
    for name, weight in program.state_dict.items():
        if weight.ndim > 1 and recipe.keeps(name.removeprefix("model.").rpartition(".")[0]):
            floats |= _layouts(weight)
    # There is `get_weights_metadata`, but it fails on operators that take a list.
    for constant in model._mil_program.functions["main"].find_ops(op_type="const"):
        (value,) = constant.outputs
        readers = {reader.op_type for reader in value.child_ops}
        if value.rank > 1 and readers & QUANTIZED and value.val.tobytes() not in floats:
            yield constant.name


def _layouts(weight: Tensor) -> set[bytes]:
    """A weight's bytes as a file may have them: a convolution of patches becomes a product, channels last."""
    orders = [(0, 1, 2, 3), (0, 2, 3, 1)] if weight.ndim == 4 else [tuple(range(weight.ndim))]
    return {weight.permute(order).contiguous().half().numpy().tobytes() for order in orders}


def save(model: Any, file: Path) -> None:
    """Write a package for all to read, which coremltools does not, and without its notes for debuggers."""
    with TemporaryDirectory() as folder:
        saved = Path(folder, file.name)
        model.save(str(saved))
        for path in saved.rglob("*"):
            if path.is_file() and path.name != NOTES:
                with path.open("rb") as source:
                    write_whole(file / path.relative_to(saved), partial(shutil.copyfileobj, source))
