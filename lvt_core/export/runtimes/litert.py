"""LiteRT (TensorFlow Lite), by litert-torch; float16 and int8 by AI Edge Quantizer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lvt_core.errors import UserError
from lvt_core.export.job import Job
from lvt_core.export.runtimes.delegates import Delegation, plain_slice
from lvt_predict.model import reason

ALL = ".*"  # the scope of all operators
WEIGHTED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.tflite`` in float32.

    Raises:
        ImportError: litert-torch or AI Edge Quantizer is not installed.
        UserError: The converter fails on a map of this size.
    """
    import ai_edge_quantizer  # noqa: F401  (reports missing packages before any work)
    import litert_torch

    program = job.program.run_decompositions({torch.ops.aten.slice.Tensor: plain_slice})
    _call_by_modules(program)
    module = program.module()
    module.training = False  # a program's module does not support eval()
    (example,) = job.program.example_inputs[0]
    try:
        litert_torch.convert(module, (example,)).export(str(file))
    except ValueError as error:  # its passes fail, for example, on a product whose map is one pixel wide
        height, width = job.export.size
        raise UserError(
            f"--size {height} {width}: litert's converter fails, as on maps of one pixel's width; choose a "
            f"width of more than 32 ({reason(error)})"
        ) from error


def quantize(job: Job, source: Path, file: Path) -> None:
    """Write a float32 file in the job's precision."""
    file.write_bytes(lower_precision(job, source.read_bytes()))


def delegation(file: Path) -> Delegation:
    """Count what XNNPACK's delegate takes of a file, in LiteRT's interpreter.

    For a GPU's delegate there is no such check: the analyser in LiteRT's wheel accepts everything.

    Raises:
        ImportError: LiteRT is not installed.
    """
    model = file.read_bytes()
    written = interpreter_of(model, delegate=False)._get_ops_details()
    interpreter = interpreter_of(model, delegate=True)
    operators = interpreter._get_ops_details()  # the file's operators, then the delegate's partitions
    partitions = operators[len(written) :]
    makes = {tensor: each for each in operators for tensor in each["outputs"]}  # partitions come last and win
    todo = [value["index"] for value in interpreter.get_output_details()]
    runs = {}
    while todo:  # walk back from the outputs over all that runs
        operator = makes.get(todo.pop())
        if operator and operator["index"] not in runs:
            runs[operator["index"]] = operator["op_name"]
            todo += list(operator["inputs"])
    outside = Counter(name for index, name in runs.items() if index < len(written))
    return Delegation(len(partitions), dict(outside))


def _call_by_modules(program: torch.export.ExportedProgram) -> None:
    """Make the converter name operators ``stages.0.blocks.1.attn;7`` instead of by classes of modules."""
    for node in program.graph.nodes:
        if stack := node.meta.get("nn_module_stack"):
            path, _ = list(stack.values())[-1]
            node.meta["nn_module_stack"] = {path: ("", path.removeprefix("model.") or "model")}


def lower_precision(job: Job, model: bytes) -> bytes:
    """Convert a float32 file's content to the job's precision."""
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.recipe_manager import AlgorithmName

    work = quantizer.Quantizer(bytearray(model))
    every = qtyping.TFLOperationName.ALL_SUPPORTED
    if job.export.precision == "fp16":
        work.add_weight_only_config(ALL, every, num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    elif job.recipe.activations == "static":
        # Only layers with weights: norms and softmax lose most in int8, and XNNPACK has none of them.
        for name in WEIGHTED:
            work.add_static_config(
                ALL, qtyping.TFLOperationName[name], activation_num_bits=8, weight_num_bits=8
            )
    elif job.recipe.activations == "dynamic":
        work.add_dynamic_config(ALL, every, num_bits=8)
        # XNNPACK has no such depthwise convolution, and its other convolutions are slower than in float.
        for name in (qtyping.TFLOperationName.CONV_2D, qtyping.TFLOperationName.DEPTHWISE_CONV_2D):
            work.add_weight_only_config(ALL, name, num_bits=8)
    else:
        work.add_weight_only_config(ALL, every, num_bits=8)
    for scope in _float_scopes(job, model):
        work.update_quantization_recipe(scope, every, algorithm_key=AlgorithmName.NO_QUANTIZE)
    ranges = None
    if work.need_calibration:
        images = [{"args_0": image} for image in job.calibration]  # the calibrator iterates twice
        ranges = work.calibrate({"serving_default": images}, num_threads=1)
        if not ranges:  # no tensor has ranges: all stays in float
            return model
    return bytes(
        work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False).quantized_model
    )


def _float_scopes(job: Job, model: bytes) -> Iterator[str]:
    """Yield the layers that stay in float, as regular expressions of a file's operators.

    Operators are named by their modules (`_call_by_modules`). The converter may merge an operator with its
    neighbour and use either name, so operators with weights are found by their weights.
    """
    for name in job.recipe.floats:
        yield rf"(^|;){re.escape(name)}[.;]"
    floats = set()
    for name, weight in job.program.state_dict.items():
        if weight.ndim > 1 and job.recipe.keeps(name.removeprefix("model.").rpartition(".")[0]):
            floats |= _layouts(weight)
    interpreter = interpreter_of(model, delegate=False)
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    for operator in interpreter._get_ops_details() if floats else ():
        if (
            operator["op_name"] in WEIGHTED
            and interpreter.get_tensor(operator["inputs"][1]).tobytes() in floats
        ):
            yield f"^{re.escape(';'.join(names[tensor] for tensor in operator['outputs']))};$"


def _layouts(weight: Tensor) -> set[bytes]:
    """Return a weight's bytes in the layouts of a file, where a convolution's channels are last."""
    orders = [(0, 2, 3, 1), (1, 2, 3, 0)] if weight.ndim == 4 else [tuple(range(weight.ndim))]
    return {weight.permute(order).contiguous().numpy().tobytes() for order in orders}


def interpreter_of(model: bytes, *, delegate: bool) -> Any:
    """Open a file's content in an interpreter, with or without XNNPACK's delegate."""
    from ai_edge_litert import interpreter as runtime

    plain = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    resolver = runtime.OpResolverType.AUTO if delegate else plain
    interpreter = runtime.Interpreter(
        model_content=model, experimental_op_resolver_type=resolver, num_threads=1
    )
    interpreter.allocate_tensors()
    return interpreter
