"""XNNPACK without transpositions that undo each other.

Our maps are tensors ``(B, H, W, C)``; around a convolution the graph permutes them to ``(B, C, H, W)`` and
back. ExecuTorch hands XNNPACK these permutations, and next to each one of its own, because XNNPACK's
convolutions take ``(B, H, W, C)``: four passes over memory in the place of none. Here such a pair is left
out, and what follows reads the tensor before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


@contextmanager
def without_pairs() -> Iterator[None]:
    """Have ExecuTorch leave them out while it writes XNNPACK's graphs."""
    from executorch.backends.xnnpack.operators.node_visitor import _node_visitor_dict as visitors

    own = {"aten.permute_copy.default": _permutation, "aten._to_copy.default": _change_of_layout}
    theirs = {target: visitors[target] for target in own}
    try:
        visitors.update({target: make(theirs[target]) for target, make in own.items()})
        yield
    finally:
        visitors.update(theirs)


def _permutation(theirs: type) -> type:
    class Permutation(theirs):  # type: ignore[misc]
        def define_node(self, node: Any, graph: Any, ids: dict[Any, int], debug_handle: int) -> None:
            if not all(_is_undone(user, node, self.external_ids) for user in node.users):
                super().define_node(node, graph, ids, debug_handle)

    return Permutation


def _change_of_layout(theirs: type) -> type:
    class ChangeOfLayout(theirs):  # type: ignore[misc]
        def define_node(self, node: Any, graph: Any, ids: dict[Any, int], debug_handle: int) -> None:
            before = node.args[0]
            if not _is_undone(node, before, self.external_ids):
                super().define_node(node, graph, ids, debug_handle)
                return
            source = before.args[0]
            self.define_tensor(source, graph, ids)
            ids[node] = ids[source]

    return ChangeOfLayout


def _is_undone(node: Any, before: Any, outputs: dict[Any, Any]) -> bool:
    """Whether a node is a change of layout that undoes the permutation before it, and no output itself."""
    from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import (
        ChannelsLastTaggedReshapePass as Layout,
    )
    from executorch.exir.dialects._ops import ops

    aten = ops.edge.aten
    if node.target is not aten._to_copy.default or before.target is not aten.permute_copy.default:
        return False
    to_last = node.kwargs.get("memory_format") is torch.channels_last
    order = [dim % 4 for dim in before.args[1]]
    return (
        order == (TO_FIRST if to_last else TO_LAST)
        and Layout.is_nhwc_node(before) is not to_last
        and node not in outputs
    )
