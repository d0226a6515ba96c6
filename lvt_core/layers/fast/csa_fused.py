"""CSA between its logits and its projection as one operator, which a GPU may run fused.

`lvt_core.layers.csa.CSA` calls `fused_mix` on a GPU. The first call with a size runs the Triton kernels of
`csa_triton` and the portable form on random numbers; from then on the kernels are used if they agree and are
faster. Forward and backward pass are chosen separately; both forms keep only the operator's inputs for the
backward pass. Without Triton, or if it fails, the portable form is used.

Gain: not run on a GPU; `python -m benchmarks.gpu` measures it.

Legend: B batch, H W map, h = ceil(H/2), w = ceil(W/2) windows, M = B * h * w, C channels, N heads, d = C / N.
"""

from __future__ import annotations

import functools
import logging
import statistics
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lvt_core.layers.window_attention import window_attention, window_gradients

logger = logging.getLogger(__name__)

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}  # relative to the largest value
MAX_CHANNELS = 512
MAX_HEAD_DIM = 64  # more would not fit into a GPU's registers
TRIAL_WINDOWS = 2**15  # enough to fill a GPU; larger inputs use the same choice
TRIAL_REPEATS = 7

_choices: dict[tuple[object, ...], bool] = {}


def can_fuse(x: Tensor, num_heads: int) -> bool:
    """Whether `fused_mix` supports this map; an exported program has ordinary operators instead."""
    return (
        x.is_cuda
        and x.dtype in TOLERANCES
        and x.shape[3] <= MAX_CHANNELS
        and x.shape[3] <= MAX_HEAD_DIM * num_heads
        and not torch.compiler._is_exporting_flag  # is_exporting() is true under all compilers of torch 2.11
        and not torch.jit.is_tracing()
    )


def fused_mix(x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int) -> Tensor:
    """Compute CSA from its logits on: softmax, values of the taps, their mix, put back into the map.

    Args:
        x: Map ``(B, H, W, C)``.
        logits: Logits of the weights between taps, ``(B, h, w, N * 81)``, not scaled.
        tap_weight: Value matrices ``(9, C, C)``: tap, out, in.
        num_heads: ``N``.

    Returns:
        ``(B, H, W, C)``, under autocast in its precision; softmax and sums are in float32.
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


@csa_mix.register_kernel("cuda")
def _(x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int) -> Tensor:
    with torch.cuda.device(x.device), torch.autocast("cuda", enabled=False):
        if _prefers_kernels("forward", x, logits, num_heads):
            return kernels().forward(x, logits, tap_weight, num_heads)
        return portable(x, logits, tap_weight, num_heads)


@csa_mix_backward.register_kernel("cuda")
def _(
    grad: Tensor, x: Tensor, logits: Tensor, tap_weight: Tensor, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.cuda.device(x.device), torch.autocast("cuda", enabled=False):
        if _prefers_kernels("backward", x, logits, num_heads):
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


def _prefers_kernels(direction: str, x: Tensor, logits: Tensor, num_heads: int) -> bool:
    windows = min(logits.numel() // (81 * num_heads), TRIAL_WINDOWS)
    # Deterministic runs must not depend on a measured time.
    timed = not torch.are_deterministic_algorithms_enabled()
    key = (direction, timed, x.device, x.dtype, x.shape[3], num_heads, windows.bit_length())
    if key not in _choices:
        if torch.cuda.is_current_stream_capturing():
            return False  # a captured stream must not compile or wait
        try:
            _choices[key] = _try_kernels(direction, x, logits, num_heads, timed=timed)
        except torch.OutOfMemoryError:
            return False  # no memory for a trial; the next call tries again
    return _choices[key]


def _try_kernels(direction: str, x: Tensor, logits: Tensor, num_heads: int, *, timed: bool) -> bool:
    """Whether the kernels agree with the portable form and, if timed, are faster."""
    forms: dict[str, Callable] = {"forward": portable, "backward": portable_backward}
    try:
        inputs = _random_inputs(direction, x, logits)
        fused: Callable = getattr(kernels(), direction)
        calls = [functools.partial(form, *inputs, num_heads) for form in (forms[direction], fused)]
        expected, found = (call() for call in calls)
        agree = _agree(expected, found) if direction == "forward" else all(map(_agree, expected, found))
        milliseconds = _times(calls) if timed and agree else [0.0, 0.0]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton's compiler raises many kinds
        logger.debug("CSA stays portable: %s: %s", type(error).__name__, error)
        return False
    logger.debug("CSA %s, portable and fused: %s ms, agree: %s", direction, milliseconds, agree)
    return agree and (not timed or milliseconds[1] < milliseconds[0])


@functools.cache
def kernels() -> ModuleType:
    """Import the kernels; not every installation has Triton."""
    from lvt_core.layers.fast import csa_triton

    return csa_triton


def _random_inputs(direction: str, x: Tensor, logits: Tensor) -> list[Tensor]:
    """Make noise for a trial of the kernels, so that the choice does not depend on the user's values."""
    generator = torch.Generator(x.device).manual_seed(0)  # the user's random state must not change
    batch = max(1, min(x.shape[0], TRIAL_WINDOWS // (logits.shape[1] * logits.shape[2])))
    C = x.shape[3]
    shapes = {"x": (batch, *x.shape[1:]), "logits": (batch, *logits.shape[1:]), "tap_weight": (9, C, C)}
    names = ["x", *shapes] if direction == "backward" else list(shapes)
    inputs = [torch.randn(shapes[name], generator=generator, device=x.device) for name in names]
    inputs[-1] *= C**-0.5
    return [tensor.to(x.dtype) for tensor in inputs]


def _agree(expected: Tensor, found: Tensor) -> bool:
    difference = (found.float() - expected.float()).abs().max()
    return bool(difference <= TOLERANCES[expected.dtype] * expected.float().abs().max())


def _times(calls: list[functools.partial]) -> list[float]:
    """Measure the median milliseconds of each call, in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(TRIAL_REPEATS):
        for call, measured in zip(calls, times, strict=True):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            end.record()
            end.synchronize()
            measured.append(start.elapsed_time(end))
    return [statistics.median(measured) for measured in times]
