"""OpenVINO, from the same ONNX graph; NNCF, its own tool, makes int8 of it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lvt_core.errors import UserError
from lvt_core.export import onnx
from lvt_core.export.common import BFLOAT16, Job
from lvt_core.export.recipe import Recipe
from lvt_core.predict import ARITHMETIC

QUANTIZED = ("static", "float")  # activations that NNCF has


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.xml`` and ``.bin``.

    Raises:
        ImportError: OpenVINO, NNCF or the ONNX exporter is not installed.
        UserError: NNCF is not installed, the recipe is not one of its own, or the processor that should
            judge bfloat16 has none.
    """
    import openvino

    precision = job.export.precision
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == BFLOAT16 and "BF16" not in able:
        raise UserError("--precision bf16: this processor has no bfloat16, so nothing can be judged on it")
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "model.onnx")
        onnx.convert(replace(job, export=replace(job.export, precision="fp32")), graph)
        model = openvino.convert_model(graph)
        if precision == "int8":
            model = _quantized(model, job.calibration, job.recipe)
        if precision == BFLOAT16 or (precision == "int8" and "BF16" in able):
            model.set_rt_info("bf16", ARITHMETIC)  # of int8, what is left in float: the gate judges all of it
        openvino.save_model(model, file, compress_to_fp16=precision in ("fp16", BFLOAT16))


def _quantized(model: Any, calibration: Sequence[np.ndarray], recipe: Recipe) -> Any:
    """Weights in int8 by channel; activations as the recipe says."""
    try:
        import nncf
    except ImportError as error:
        raise UserError(f"--precision int8: needs {error.name}: pip install nncf") from error
    if recipe.activations not in QUANTIZED:
        raise UserError(f"recipe: activations {recipe.activations!r}: openvino has {', '.join(QUANTIZED)}")
    names = [node.get_friendly_name() for node in model.get_ops()]
    floats = [name for name in names if recipe.keeps(name.split("/")[0])]
    ignored = nncf.IgnoredScope(names=floats, validate=False)
    if recipe.activations == "float":
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM, ignored_scope=ignored)
    return nncf.quantize(
        model,
        nncf.Dataset(list(calibration)),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(calibration),
        ignored_scope=ignored,
    )
