"""OpenVINO, from the ONNX graph; NNCF, its own tool, converts it to int8."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvt_core.errors import UserError
from lvt_core.export.job import BFLOAT16, Job
from lvt_core.export.recipe.file import Recipe
from lvt_core.export.runtimes import onnx
from lvt_predict.runtimes import ARITHMETIC, import_openvino, openvino_core


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.xml`` and ``.bin`` in float32.

    Raises:
        ImportError: OpenVINO or the ONNX exporter is not installed.
    """
    openvino = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder, "model.onnx")
        onnx.convert(job, graph)
        openvino.save_model(openvino.convert_model(graph), file, compress_to_fp16=False)


def quantize(job: Job, source: Path, file: Path) -> None:
    """Write a float32 file in the job's precision.

    Raises:
        ImportError: NNCF is not installed.
        UserError: This processor does not support bfloat16, so the gate cannot judge it.
    """
    openvino = import_openvino()
    core, precision = openvino_core(), job.export.precision
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == BFLOAT16 and "BF16" not in capabilities:
        raise UserError("--precision bf16: this processor does not support bfloat16; export on one that does")
    model = core.read_model(source)
    if precision == "int8":
        model = _to_int8(model, job.calibration, job.recipe)
    if precision == BFLOAT16 or (precision == "int8" and "BF16" in capabilities):
        model.set_rt_info("bf16", ARITHMETIC)  # also the float layers of an int8 file
    openvino.save_model(model, file, compress_to_fp16=precision in ("fp16", BFLOAT16))


def _to_int8(model: Any, calibration: Sequence[np.ndarray], recipe: Recipe) -> Any:
    """Convert weights to int8 by channel, and activations as the recipe says."""
    import nncf

    nncf.set_log_level(logging.ERROR)  # it logs a line for every layer that stays in float
    floats = [
        node.get_friendly_name()
        for node in model.get_ops()
        if recipe.keeps(node.get_friendly_name().split("/")[0]) or _mixes_activations(node)
    ]
    if recipe.activations == "float":
        ignored = nncf.IgnoredScope(names=floats, validate=False)
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM, ignored_scope=ignored)
    return nncf.quantize(
        model,
        nncf.Dataset(list(calibration)),
        preset=nncf.QuantizationPreset.PERFORMANCE,  # zero points cost one more operator per layer
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(calibration),
        # OpenVINO rounds the input of a depthwise convolution, then computes it in float.
        ignored_scope=nncf.IgnoredScope(names=floats, types=["GroupConvolution"], validate=False),
    )


def _mixes_activations(node: Any) -> bool:
    """Whether a node is a product of two activations; attention is cheap and sensitive."""
    inputs = (value.get_node().get_type_name() for value in node.input_values())
    return node.get_type_name() == "MatMul" and "Constant" not in inputs
