"""ExecuTorch: XNNPACK's delegate runs the network, ExecuTorch's own kernels what it leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lvt_core.export.common import Job
from lvt_core.export.delegates import Delegation, plain_slice


def convert(job: Job, file: Path) -> None:
    """Write a job as ``.pte``.

    Raises:
        ImportError: ExecuTorch is not installed.
    """
    file.write_bytes(lowered(job))


def check(job: Job) -> Delegation:
    """What XNNPACK's delegate takes of a job's file.

    Raises:
        ImportError: ExecuTorch is not installed.
    """
    return delegation(lowered(job))


def delegation(model: bytes) -> Delegation:
    """`check` of a file's content."""
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.exir.schema import DelegateCall, KernelCall

    (plan,) = deserialize_pte_binary(model).program.execution_plan
    calls = [instruction.instr_args for chain in plan.chains for instruction in chain.instructions]
    outside = Counter(plan.operators[call.op_index].name for call in calls if isinstance(call, KernelCall))
    return Delegation(sum(isinstance(call, DelegateCall) for call in calls), dict(outside))


def lowered(job: Job) -> bytes:
    """A job as the content of a file."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = _in_xnnpacks_terms(job.program, static=not job.export.dynamic)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(edge.to_executorch().buffer)


def _in_xnnpacks_terms(
    program: torch.export.ExportedProgram, *, static: bool
) -> torch.export.ExportedProgram:
    """A program whose operators XNNPACK has; of sizes that are not known it takes few slices in any form."""
    aten = torch.ops.aten
    table: dict[Any, Any] = {aten.unbind.int: plain_unbind}
    if static:
        table |= {aten.slice.Tensor: plain_slice, aten.matmul.default: plain_product}
    program = program.run_decompositions(table)
    for node in list(program.graph.nodes):  # a slice that is all of its tensor is an alias now
        if node.target is aten.alias.default:
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)
    return program


def plain_unbind(x: Tensor, dim: int = 0) -> Sequence[Tensor]:
    """Entries of a dimension as slices and reshapes: XNNPACK has no squeezing of many dimensions."""
    rest = (*x.shape[:dim], *x.shape[dim + 1 :])
    return [x.narrow(dim, entry, 1).reshape(rest) for entry in range(x.shape[dim])]


def plain_product(a: Tensor, b: Tensor) -> Tensor:
    """Products of two stacks of matrices without the expansion to a common size that they have already."""
    if b.dim() < 3 or a.shape[:-2] != b.shape[:-2]:
        return NotImplemented  # stays as it is
    product = torch.bmm(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]))
    return product.reshape(*a.shape[:-1], b.shape[-1])
