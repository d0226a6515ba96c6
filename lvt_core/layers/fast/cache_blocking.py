"""Work in pieces whose intermediate results fit a CPU's cache.

A layer on a whole map writes an intermediate of several MiB to memory and reads it back, and the operating
system provides that memory page by page at every call. In pieces it stays in the cache. This only applies to
eager inference on a CPU: the backward pass needs the intermediates anyway, and a compiler cuts the work
itself.

Gain, with the other CPU forms: `python -m benchmarks.network` measures it; docs/performance.md has figures.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CACHE_BYTES = 1 << 20  # a core's own (second-level) cache: 0.5 to 2 MiB today


def is_in_pieces(x: Tensor) -> bool:
    """Whether work on this tensor is cut into pieces: on a CPU, eagerly, in its own type, no gradients."""
    return (
        x.device.type == "cpu"
        and x.numel() > 0
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


def piece_length(bytes_each: int) -> int:
    """Return how many entries of that size fit the caches of the cores in use; at least one."""
    return max(1, CACHE_BYTES * torch.get_num_threads() // bytes_each)


def in_pieces(function: Callable[[Tensor], Tensor], x: Tensor, *, bytes_each: int) -> Tensor:
    """Apply a function to pieces of a tensor along its first dimension, and join the results.

    Args:
        function: Function that treats every entry of the first dimension separately.
        x: Input of the function.
        bytes_each: Size of the intermediate results of one entry.
    """
    if not is_in_pieces(x) or (length := piece_length(bytes_each)) >= len(x):
        return function(x)
    return torch.cat([function(piece) for piece in x.split(length)])
