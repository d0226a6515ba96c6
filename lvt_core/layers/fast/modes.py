"""The modes of PyTorch in which layers take their plain form.

A form with a backward pass of its own, or in pieces, suits plain eager calls. `torch.func`, forward-mode
differentiation, `torch.jit` and `torch.fx` understand ordinary operators on whole maps only.

Gain: none; the plain forms are slower.
"""

from __future__ import annotations

import torch
from torch.autograd import forward_ad
from torch.fx import Proxy

__all__ = ["is_symbolic", "is_transformed", "uses_own_backward"]


def is_symbolic(x: object) -> bool:
    """Whether a value is a placeholder of `torch.fx.symbolic_trace`, which has no shape."""
    return isinstance(x, Proxy)


def is_transformed() -> bool:
    """Whether `torch.func` transforms the call, or forward mode carries tangents through it."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def uses_own_backward() -> bool:
    """Whether autograd records the call and accepts a backward pass of the layer's own."""
    return torch.is_grad_enabled() and not torch.jit.is_tracing() and not is_transformed()
