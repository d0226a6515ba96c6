"""CSA between its logits and its projection as one operator, which a GPU can run fused.

`lvt_core.layers.csa.CSA` calls `fused_mix` on a GPU. There a `Trial` chooses between the Triton kernels of
`csa_triton` and the portable form, for the forward and the backward pass separately. Without Triton, or if it
fails, the portable form is used. Both forms keep only the operator's inputs for the backward pass.

Gain: docs/gpu.md, measured on an H100 by `python -m benchmarks.gpu`.

Legend: B batch, H W map, h = ceil(H/2), w = ceil(W/2) windows, M = B * h * w, C channels, N heads, d = C / N.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lvt_core.layers.fast.modes import is_symbolic, is_transformed
from lvt_core.layers.fast.trial import Trial
from lvt_core.layers.window_attention import window_attention, window_gradients

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}  # relative to the largest value
MAX_CHANNELS = 512
MAX_HEAD_DIM = 64  # more would not fit into a GPU's registers


def can_fuse(x: Tensor, num_heads: int) -> bool:
    """Whether `fused_mix` supports this map; an exported program has ordinary operators instead."""
    return (
        not is_symbolic(x)
        and x.is_cuda
        and x.dtype in TOLERANCES
        and x.shape[3] <= MAX_CHANNELS
        and x.shape[3] <= MAX_HEAD_DIM * num_heads
        and not torch.compiler._is_exporting_flag  # is_exporting() is true under all compilers of torch 2.11
        and not torch.jit.is_tracing()
        and not is_transformed()
    )


def fused_mix(x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int) -> Tensor:
    """Compute CSA from its logits on: softmax, values, mix, put back.

    Args:
        x: Map ``(B, H, W, C)``.
        logits: Logits of the weights between taps, ``(B, h, w, N * 81)``, not scaled.
        tap_weight: Value matrices ``(9, C, C)``: tap, out, in.
        num_heads: ``N``.

    Returns:
        ``(B, H, W, C)``, under autocast in its type; softmax and sums are in float32.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return csa_mix(x.to(dtype), logits.to(dtype), tap_weight.to(dtype), num_heads)


@torch.library.custom_op("lvt::csa_mix", mutates_args=())
def csa_mix(x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int) -> Tensor:
    """Run the operator of `fused_mix` on any device."""
    return portable(x, logits, tap_weight, num_heads)


@torch.library.custom_op("lvt::csa_mix_backward", mutates_args=())
def csa_mix_backward(
    grad: Tensor, x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of `csa_mix` on any device."""
    return portable_backward(grad, x, logits, tap_weight, num_heads)


@csa_mix.register_fake
def _(x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int) -> Tensor:
    return x.new_empty(x.shape)


@csa_mix_backward.register_fake
def _(
    grad: Tensor, x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), logits.new_empty(logits.shape), tap_weight.new_empty(tap_weight.shape)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.num_heads = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *csa_mix_backward(grad, *ctx.saved_tensors, ctx.num_heads), None


csa_mix.register_autograd(_backward, setup_context=_save_inputs)


def _save_inputs_of_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _save_inputs(ctx, inputs, output[0])


def _second_backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    """Differentiate the portable form of the backward pass."""
    again = torch.is_grad_enabled()  # also for the third derivative
    with torch.enable_grad(), torch.autocast(grads[0].device.type, enabled=False):
        # As views, the inputs do not depend on each other; the logits are a function of the map.
        inputs = [tensor.view_as(tensor) for tensor in ctx.saved_tensors]
        wanted = [tensor for tensor in inputs if tensor.requires_grad]
        grad, x, logits, tap_weight = inputs
        outputs = portable_backward(grad, x, logits, tap_weight, ctx.num_heads)
        gradients = iter(torch.autograd.grad(outputs, wanted, grads, create_graph=again, allow_unused=True))
    return *(next(gradients) if tensor.requires_grad else None for tensor in inputs), None


csa_mix_backward.register_autograd(_second_backward, setup_context=_save_inputs_of_backward)


@csa_mix.register_kernel("cuda")
def _(x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int) -> Tensor:
    with torch.cuda.device(x.device), torch.autocast("cuda", enabled=False):
        if _trial.prefers_kernels("forward", x, logits, num_heads):
            return kernels().forward(x, logits, tap_weight, num_heads)
        return portable(x, logits, tap_weight, num_heads)


@csa_mix_backward.register_kernel("cuda")
def _(
    grad: Tensor, x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.cuda.device(x.device), torch.autocast("cuda", enabled=False):
        if _trial.prefers_kernels("backward", x, logits, num_heads):
            return kernels().backward(grad, x, logits, tap_weight, num_heads)
        return portable_backward(grad, x, logits, tap_weight, num_heads)


def portable(x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int) -> Tensor:
    """Compute `csa_mix` with ordinary operators."""
    attn = _attention(x, logits, num_heads).to(x.dtype)
    return window_attention(x, attn, tap_weight).contiguous()


def portable_backward(
    grad: Tensor, x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute `csa_mix_backward` with ordinary operators."""
    attn = _attention(x, logits, num_heads)  # (M, N, 9, 9)
    dx, dattn, dweight = window_gradients(x, attn.to(x.dtype), grad, tap_weight=tap_weight)
    dattn = dattn.to(attn.dtype)
    dlogits = attn * (dattn - (attn * dattn).sum(dim=3, keepdim=True)) * _scale(x, num_heads)
    return dx.contiguous(), dlogits.to(logits.dtype).view(logits.shape), dweight


def _attention(x: Tensor, logits: Tensor, num_heads: int) -> Tensor:
    """Compute the weights between the taps ``(M, N, 9, 9)``, at least in float32."""
    logits = logits.reshape(-1, num_heads, 9, 9).to(torch.promote_types(x.dtype, torch.float32))
    return (logits * _scale(x, num_heads)).softmax(dim=3)


def _scale(x: Tensor, num_heads: int) -> float:
    return (x.shape[3] // num_heads) ** -0.5


@functools.cache
def kernels() -> ModuleType:
    """Import the kernels; not every installation has Triton."""
    from lvt_core.layers.fast import csa_triton

    return csa_triton


_trial = Trial({"forward": portable, "backward": portable_backward}, kernels, TOLERANCES)
