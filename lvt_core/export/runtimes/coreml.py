"""Core ML, by coremltools: an ML program in a package, a folder of files.

Core ML only runs on Apple's systems. Elsewhere the gate runs the file in `lvt_predict.coreml_interpreter`,
which checks the file, not a device.
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
from lvt_core.export.recipe.file import Recipe
from lvt_core.files import write_whole
from lvt_predict.coreml_interpreter.program import quiet

INTERPRETER = "an interpreter of the saved program in numpy; not Core ML, not a device"
CHECKED_BY = "Core ML" if sys.platform == "darwin" else INTERPRETER
QUANTIZED = {"linear", "conv", "conv_transpose"}  # operators whose weights become int8
NOTES = "executorch_debug_handle_mapping.json"  # coremltools' notes on programs from PyTorch


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.mlpackage``: float16 and int8 compute in float16, which the Neural Engine needs.

    Raises:
        ImportError: coremltools is not installed.
    """
    precision = job.export.precision
    model = convert_program(job.program, half=precision != "fp32")
    if precision == "int8":
        model = weights_to_int8(model, job.program, job.recipe)
    save(model, file)


def convert_program(program: torch.export.ExportedProgram, *, half: bool) -> Any:
    """Convert a program to coremltools' model; images and outputs are float32, the rest float16 if `half`."""
    with quiet():
        import coremltools as ct

    program = program.run_decompositions({torch.ops.aten.alias.default: lambda x: x})  # Core ML has no alias
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


def weights_to_int8(model: Any, program: torch.export.ExportedProgram, recipe: Recipe) -> Any:
    """Convert a float16 model's weights to int8, symmetric, by channel.

    Activations stay float16: coremltools needs Core ML, on macOS, to find their ranges.
    """
    from coremltools.optimize import coreml as optimize

    to_int8 = optimize.OpLinearQuantizerConfig(
        mode="linear_symmetric", granularity="per_channel", weight_threshold=0
    )
    names = _int8_weights(model, program, recipe)
    config = optimize.OptimizationConfig(op_name_configs=dict.fromkeys(names, to_int8))
    return optimize.linear_quantize_weights(model, config)


def _int8_weights(model: Any, program: torch.export.ExportedProgram, recipe: Recipe) -> Iterator[str]:
    """Yield the names of the layers' weights, except those that the recipe keeps in float.

    The converter renames weights that it reshapes, so they are found by their values. coremltools gets names
    of weights rather than layers: a layer may share its bias with a norm, which would be a conflict.
    """
    floats = set()
    for name, weight in program.state_dict.items():
        if weight.ndim > 1 and recipe.keeps(name.removeprefix("model.").rpartition(".")[0]):
            floats |= _layouts(weight)
    # `get_weights_metadata` fails on operators whose input is a list.
    for constant in model._mil_program.functions["main"].find_ops(op_type="const"):
        (value,) = constant.outputs
        readers = {reader.op_type for reader in value.child_ops}
        if value.rank > 1 and readers & QUANTIZED and value.val.tobytes() not in floats:
            yield constant.name


def _layouts(weight: Tensor) -> set[bytes]:
    """Return a weight's bytes in the layouts of a file; a convolution of patches becomes a product."""
    orders = [(0, 1, 2, 3), (0, 2, 3, 1)] if weight.ndim == 4 else [tuple(range(weight.ndim))]
    return {weight.permute(order).contiguous().half().numpy().tobytes() for order in orders}


def save(model: Any, file: Path) -> None:
    """Write a package that all users may read, without coremltools' notes for debuggers."""
    with TemporaryDirectory() as folder:
        saved = Path(folder, file.name)
        model.save(str(saved))
        for path in saved.rglob("*"):
            if path.is_file() and path.name != NOTES:
                with path.open("rb") as source:
                    write_whole(file / path.relative_to(saved), partial(shutil.copyfileobj, source))
