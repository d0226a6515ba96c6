"""Layers in pieces whose intermediate results fit a CPU's cache.

A layer on a whole map writes an intermediate of several MiB to memory and reads it back, and the operating
system provides that memory page by page at every call. In pieces it stays in the cache. This only applies to
eager inference on a CPU: the backward pass needs the intermediates anyway, and a compiler cuts the work
itself.

Gain: without pieces, CSA takes twice as long for 16 images at once as for the same images one by one. With
all CPU forms, inference is 1.24 times as fast as the formulas as written at batch 1, and 2.13 times as fast
at batch 16. Measured on one core of an AMD EPYC: ``python -m benchmarks.network --cases eager1 eager16``,
see docs/performance.md. A GPU never works in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from lvt_core.layers.fast.modes import is_symbolic, is_transformed

CACHE_BYTES = 1 << 20  # a core's own (second-level) cache: 0.5 to 2 MiB today

_cache_bytes = ContextVar("cache_bytes", default=CACHE_BYTES)


@contextmanager
def cache_of(size: int) -> Iterator[None]:
    """Cut pieces for caches of `size` bytes inside of a ``with`` block; the default is `CACHE_BYTES`."""
    token = _cache_bytes.set(size)
    try:
        yield
    finally:
        _cache_bytes.reset(token)


def is_in_pieces(x: Tensor) -> bool:
    """Whether work on this tensor is cut: on a CPU, in plain eager mode, without autocast and gradients."""
    return (
        not is_symbolic(x)
        and x.device.type == "cpu"
        and x.numel() > 0
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not is_transformed()
    )


def piece_length(bytes_each: int) -> int:
    """Return how many entries of a size fit the caches of the cores in use; at least one."""
    return max(1, _cache_bytes.get() * torch.get_num_threads() // bytes_each)


def works_in_pieces(layer: nn.Module, x: Tensor) -> bool:
    """Whether a layer cuts its input; hooks on the modules inside of it see whole batches."""
    return is_in_pieces(x) and not has_inner_hooks(layer)


def in_pieces(function: Callable[[Tensor], Tensor], x: Tensor, *, bytes_each: int) -> Tensor:
    """Apply a function to pieces of a tensor along its first dimension, and join the results.

    Args:
        function: Function that treats every entry of the first dimension separately.
        x: Input of the function.
        bytes_each: Size of the intermediate results of one entry.
    """
    length = piece_length(bytes_each)
    if length >= len(x):
        return function(x)
    return torch.cat([function(piece) for piece in x.split(length)])


def has_inner_hooks(layer: nn.Module) -> bool:
    """Whether a module inside of a layer has a hook, or a method ``forward`` that was replaced."""
    if (
        hooks._global_forward_hooks
        or hooks._global_forward_pre_hooks
        or hooks._global_backward_hooks
        or hooks._global_backward_pre_hooks
    ):
        return True
    return any(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)
        for module in layer.modules()
        if module is not layer
    )
