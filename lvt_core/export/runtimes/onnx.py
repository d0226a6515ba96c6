"""ONNX, by PyTorch's exporter; runs in ONNX Runtime, whose own tools make int8 of it.

Nodes are named after their modules, ``stages.0.blocks.0.attn.proj/MatMul_7``, so that recipes, profiles and
error messages name layers.
"""

from __future__ import annotations

import ast
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvt_core.export.job import Job
from lvt_core.export.recipe.file import Recipe
from lvt_core.export.runtimes.delegates import Delegation

OPSET = 20  # GELU is one operator from there on
OPSETS = (18, 23)  # what both the exporter and the runtimes of the last years support
AXES = {0: "batch", 2: "height", 3: "width"}  # names of an image's free axes
MAX_ELEMENTS = 2**31  # elements of a tensor
# Products with weights. Attention's products of two activations stay in float: they are cheap and sensitive.
QUANTIZED = {"static": ["Conv", "MatMul", "Gemm"], "dynamic": ["MatMul", "Gemm"]}


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.onnx`` in float32, weights inside.

    Raises:
        ImportError: The exporter's packages are not installed.
    """
    import onnx
    import onnxruntime  # noqa: F401  (reports missing packages before any work)
    import onnxscript.optimizer

    exported = torch.onnx.export(
        job.program,
        (),
        dynamo=True,
        opset_version=job.export.opset or OPSET,
        input_names=[job.export.input],
        output_names=_output_names(job),
        optimize=True,
        verbose=False,
    )
    assert exported is not None  # for a program it is not None
    # Transpose and reshape large weights now: the quantiser ignores weights that are the output of a node.
    onnxscript.optimizer.optimize(
        exported.model, input_size_limit=MAX_ELEMENTS, output_size_limit=MAX_ELEMENTS
    )
    graph = exported.model_proto
    _name_nodes(graph)
    _name_axes(graph)
    onnx.save(graph, file)


def quantize(job: Job, source: Path, file: Path) -> None:
    """Write a float32 file in the job's precision."""
    import onnx

    graph = onnx.load(source)
    if job.export.precision == "fp16":
        onnx.save(half(graph), file)
        return
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(to_int8(graph, job.calibration, job.recipe, Path(folder)), file)


def delegation(file: Path, *, estimate: str, **options: str) -> Delegation:
    """Estimate the share of a file that an accelerator takes, with ONNX Runtime's own check for phones.

    Args:
        file: File that `convert` wrote.
        estimate: Name of the check in ``onnxruntime.tools.mobile_helpers.usability_checker``.
        options: Options of the check.

    Raises:
        ImportError: ONNX or its runtime is not installed.
    """
    import onnx
    from onnxruntime.tools.mobile_helpers import usability_checker

    graph = onnx.shape_inference.infer_shapes(onnx.load(file))
    report = getattr(usability_checker, estimate)(graph, require_fixed_input_sizes=True, **options)
    taken = {node.name for group in report.supported_groups for node in group}
    outside = Counter(node.op_type for node in graph.graph.node if node.name not in taken)
    return Delegation(report.num_partitions, dict(outside))


def _output_names(job: Job) -> list[str]:
    """Name the outputs by their kind: ``logits`` or ``labels``, or ``map_0``, ``map_1`` and so on."""
    kind, count = job.export.outputs, len(job.program.graph_signature.user_outputs)
    return [kind] if count == 1 else [f"{kind.removesuffix('s')}_{place}" for place in range(count)]


def _name_axes(graph: Any) -> None:
    """Name free axes of images ``batch``, ``height``, ``width``, also where other sizes follow from them."""
    (images,) = graph.graph.input
    axes = images.type.tensor_type.shape.dim
    names = {axes[place].dim_param: name for place, name in AXES.items() if axes[place].dim_param}
    if not names:
        return
    symbols = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = symbols.sub(lambda symbol: names[symbol[0]], axis.dim_param)


def _name_nodes(graph: Any) -> None:
    """Name nodes after their modules."""
    for place, node in enumerate(graph.graph.node):
        scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "[]")
        modules = [scope for scope in ast.literal_eval(scopes)[:-1] if scope]  # the last is the call itself
        module = modules[-1].removeprefix("model").removeprefix(".") if modules else ""
        node.name = f"{module}/{node.op_type}_{place}"
        del node.metadata_props[:]  # call stacks, larger than the weights of a small network


def half(graph: Any) -> Any:
    """Convert weights and arithmetic to float16; images and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    written = OnnxModel(convert_float_to_float16(graph, keep_io_types=True))
    written.topological_sort()  # the cast of the images comes last
    return written.model


def to_int8(graph: Any, calibration: Sequence[np.ndarray], recipe: Recipe, folder: Path) -> Any:
    """Convert weights to int8 by channel, and activations as the recipe says."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static

    del graph.graph.value_info[:]  # the quantiser infers shapes anew, and fails on existing ones
    onnx.helper.set_model_props(graph, {"onnx.quant.pre_process": "onnxruntime.quant"})  # silences a warning
    floats = [node.name for node in graph.graph.node if _stays_float(node, graph, recipe)]
    floats += [f"{name}_MatMul" for name in floats]  # the name of a Gemm after its bias is split off
    source, target = folder / "float.onnx", folder / "int8.onnx"
    onnx.save(graph, source)
    options: dict[str, Any] = {
        "op_types_to_quantize": QUANTIZED[recipe.activations],
        "nodes_to_exclude": floats,
        "per_channel": True,
        # Sums of full 8-bit products saturate on processors without VNNI (docs/deploy.md).
        "reduce_range": True,
    }
    if recipe.activations == "dynamic":
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, **options)
    else:
        quantize_static(
            source,
            target,
            _reader(calibration, graph.graph.input[0].name),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            **options,
        )
    written = onnx.load(target)
    _read_unrounded(written, recipe)
    return written


def _read_unrounded(graph: Any, recipe: Recipe) -> None:
    """Let layers that stay in float read their inputs before rounding.

    Otherwise ONNX Runtime, when it loads the file, rounds the weights of layers between rounded tensors.
    """
    rounded = {node.output[0]: node.input[0] for node in graph.graph.node if node.op_type == "QuantizeLinear"}
    for node in graph.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in rounded:
            rounded[node.output[0]] = rounded[node.input[0]]
    for node in graph.graph.node:
        if recipe.keeps(node.name.split("/")[0]):
            for place, name in enumerate(node.input):
                node.input[place] = rounded.get(name, name)


def _stays_float(node: Any, graph: Any, recipe: Recipe) -> bool:
    weights = {value.name for value in graph.graph.initializer}
    return recipe.keeps(node.name.split("/")[0]) or not any(name in weights for name in node.input)


def _reader(calibration: Sequence[np.ndarray], name: str) -> Any:
    """Wrap calibration images for ONNX Runtime."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images: Iterator[np.ndarray] = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            images = next(self.images, None)
            return None if images is None else {name: images}

    return Reader()
