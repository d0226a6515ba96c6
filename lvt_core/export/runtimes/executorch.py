"""ExecuTorch: XNNPACK's delegate runs the network, ExecuTorch's own kernels the rest.

PyTorch's own quantiser, torchao's ``pt2e``, converts to int8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from lvt_core.errors import UserError
from lvt_core.export.job import Job
from lvt_core.export.runtimes.channels_last import without_pairs
from lvt_core.export.runtimes.delegates import Delegation, plain_slice

# XNNPACK has no depthwise convolution with dynamic ranges, and the embeddings are cheap.
QUANTIZED = {
    "dynamic": (torch.ops.aten.linear.default,),
    "static": (torch.ops.aten.linear.default, torch.ops.aten.conv2d.default),
}

DEFAULTS: list[Any] = [None, None, None, [1, 1], [0, 0]]  # arguments of a convolution
RESHAPES = (torch.ops.aten.reshape.default, torch.ops.aten.view.default)


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.pte``.

    Raises:
        ImportError: ExecuTorch is not installed.
    """
    file.write_bytes(lowered(job))


def delegation(file: Path) -> Delegation:
    """Count what XNNPACK's delegate takes of a file.

    Raises:
        ImportError: ExecuTorch is not installed.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.exir.schema import DelegateCall, KernelCall

    (plan,) = deserialize_pte_binary(file.read_bytes()).program.execution_plan
    calls = [instruction.instr_args for chain in plan.chains for instruction in chain.instructions]
    outside = Counter(plan.operators[call.op_index].name for call in calls if isinstance(call, KernelCall))
    return Delegation(sum(isinstance(call, DelegateCall) for call in calls), dict(outside))


def lowered(job: Job) -> bytes:
    """Lower a job to the content of a file.

    Raises:
        UserError: XNNPACK does not support the recipe.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = _in_xnnpacks_terms(job.program, static=not job.export.any_batch)
    if job.export.precision == "int8":
        program = to_int8(program, job)
    with without_pairs():
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(edge.to_executorch().buffer)


def to_int8(program: ExportedProgram, job: Job) -> ExportedProgram:
    """Convert weights to int8 by channel, and activations as the recipe says.

    Raises:
        UserError: Sizes are free.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    activations = job.recipe.activations
    if job.export.any_batch:
        option = "--size" if job.export.dynamic else "--batch"
        raise UserError(f"{option} dynamic: executorch only supports int8 for one size and batch; name them")
    is_static = activations == "static"
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=not is_static)
    quantizer = XNNPACKQuantizer()
    for operator in QUANTIZED[activations]:
        quantizer.set_operator_type(operator, config)
    quantizer.set_filter_function(lambda node: not job.recipe.keeps(_module_of(node)))
    module = program.module(check_guards=False)
    _flatten_inputs(module)
    prepared = prepare_pt2e(module, quantizer)
    example = program.example_inputs[0]
    with torch.no_grad():
        # Ranges of weights need a run even where those of activations are dynamic.
        inputs = [(torch.from_numpy(images),) for images in job.calibration] if is_static else [example]
        for images in inputs:
            prepared(*images)
        return torch.export.export(convert_pt2e(prepared), example)


def _module_of(node: Any) -> str:
    """Return the module of the exported form that a node belongs to."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    return str(list(stack.values())[-1][0]).removeprefix("model.")


def _flatten_inputs(module: Any) -> None:
    """Reshape the permuted inputs of linear layers: dynamic ranges require a plain layout."""
    aten, graph = torch.ops.aten, module.graph
    for node in graph.find_nodes(op="call_function", target=aten.linear.default):
        x = node.args[0]
        if x.target is not aten.permute.default:
            continue
        shape = node.meta["val"].shape
        with graph.inserting_before(node):
            flat = graph.call_function(aten.reshape.default, (x, [-1, x.meta["val"].shape[-1]]))
        with graph.inserting_after(node):
            result = graph.call_function(aten.reshape.default, (node, list(shape)))
        node.replace_all_uses_with(result, delete_user_cb=lambda user, result=result: user is not result)
        node.args = (flat, *node.args[1:])
    module.recompile()


def _in_xnnpacks_terms(program: ExportedProgram, *, static: bool) -> ExportedProgram:
    """Rewrite a program with XNNPACK's operators; with free sizes it supports few slices in any form."""
    aten = torch.ops.aten
    table: dict[Any, Any] = {aten.unbind.int: plain_unbind, aten.softmax.int: plain_softmax}
    if static:
        table |= {aten.slice.Tensor: plain_slice, aten.matmul.default: plain_product}
    program = program.run_decompositions(table)
    nodes: list[Any] = list(program.graph.nodes)
    for node in nodes:
        before: Any = node.args[0] if node.args else None
        if node.target is aten.alias.default:  # a slice of a whole tensor
            node.replace_all_uses_with(before)
            program.graph.erase_node(node)
        elif node.target in RESHAPES and before.target in RESHAPES and _same_shape(node, before.args[0]):
            node.replace_all_uses_with(before.args[0])
        elif node.target is aten.gelu.default and before.target is aten.permute.default:
            _permute_afterwards(node)
        elif node.target is aten.conv2d.default and before.target is aten.pad.default:
            _pad_inside(node)
    program.graph.eliminate_dead_code()
    return program


def _same_shape(one: Any, other: Any) -> bool:
    return list(one.meta["val"].shape) == list(other.meta["val"].shape)


def _permute_afterwards(function: Any) -> None:
    """Apply an elementwise function before the permutation of its input, so that permutations meet."""
    graph, permutation = function.graph, function.args[0]
    source = permutation.args[0]
    with graph.inserting_before(function):
        value = graph.call_function(function.target, (source, *function.args[1:]), function.kwargs)
        value.meta = {**function.meta, "val": source.meta["val"]}
        permuted = graph.call_function(permutation.target, (value, *permutation.args[1:]))
        permuted.meta = function.meta
    function.replace_all_uses_with(permuted)
    graph.erase_node(function)


def _pad_inside(convolution: Any) -> None:
    """Move a padding with zeros into the convolution."""
    given: list[Any] = list(convolution.args)
    padded, weight, bias, stride, padding, *rest = given + DEFAULTS[len(given) :]
    x, borders, *how = padded.args
    plain = len(borders) == 4 and how in ([], ["constant"]) and list(padding) == [0, 0]
    if plain and borders[::2] == borders[1::2]:
        convolution.args = (x, weight, bias, stride, [borders[2], borders[0]], *rest)


def plain_unbind(x: Tensor, dim: int = 0) -> Sequence[Tensor]:
    """Unbind a dimension with slices and reshapes: XNNPACK does not squeeze tensors of many dimensions."""
    rest = (*x.shape[:dim], *x.shape[dim + 1 :])
    return [x.narrow(dim, entry, 1).reshape(rest) for entry in range(x.shape[dim])]


def plain_softmax(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """Compute a softmax along the last dimension, the only one in XNNPACK."""
    if dim in (-1, x.dim() - 1):
        return NotImplemented  # stays as it is
    return x.transpose(dim, -1).softmax(-1, dtype).transpose(dim, -1)


def plain_product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two stacks of matrices of one size, without the expansion to a common size."""
    if b.dim() < 3 or a.shape[:-2] != b.shape[:-2]:
        return NotImplemented  # stays as it is
    product = torch.bmm(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]))
    return product.reshape(*a.shape[:-1], b.shape[-1])
