"""Dilated depthwise 3x3 convolution, in forms for which the CPU library is fast.

oneDNN has fast kernels for depthwise convolutions whose padding does not exceed their kernel, and none for
the gradients of dilated ones. The convolution is fast on a map that is padded beforehand. The map's gradient
is such a convolution again. A weight's gradient is the product of the map, moved by the weight's tap, with
the output's gradient.

Gain: gradients are 3 to 5 times as fast as those of the plain call. With all CPU forms, training at batch 16
is 1.46 times as fast as the formulas as written. Measured on one core of an AMD EPYC:
``python -m benchmarks.network --cases training16``, see docs/performance.md. A GPU uses the plain call.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lvt_core.layers.fast.modes import is_transformed

KERNEL = 3
FAST_PADDING = 3


def dilated_depthwise_conv(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """Convolve every channel with its own 3x3 kernel; zero padding keeps the map's size.

    Args:
        x: ``(B, C, H, W)``.
        weight: ``(C, 1, 3, 3)``.
        dilation: Distance of the kernel's taps, in pixels.
    """
    if torch.jit.is_scripting():
        return F.conv2d(x, weight, None, 1, dilation, dilation, len(weight))
    if x.device.type != "cpu" or torch.jit.is_tracing() or is_transformed():
        return F.conv2d(x, weight, None, 1, dilation, dilation, len(weight))
    if torch.is_grad_enabled() and dilation > 1:
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
        return _DilatedDepthwiseConv.apply(x, weight, dilation)
    return _padded_conv(x, weight, dilation)


def _padded_conv(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    pad_y = pad_x = dilation
    if not torch.compiler.is_compiling():  # a compiled graph must not depend on the map's size
        # On a map no larger than the dilation the outer taps only ever meet padding: leave them out.
        if dilation >= x.shape[2]:
            weight, pad_y = weight[:, :, 1:2], 0
        if dilation >= x.shape[3]:
            weight, pad_x = weight[:, :, :, 1:2], 0
    if max(pad_y, pad_x) > FAST_PADDING:
        x = F.pad(x, (pad_x, pad_x, pad_y, pad_y))
        pad_y = pad_x = 0
    return F.conv2d(x, weight, None, 1, (pad_y, pad_x), dilation, len(weight))


class _DilatedDepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        return _padded_conv(x, weight, dilation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        x, weight, ctx.dilation = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, _ = ctx.needs_input_grad
        grad_x = dilated_depthwise_conv(grad, weight.flip(2, 3), ctx.dilation) if needs_x else None
        grad_weight = _weight_gradient(x, grad, ctx.dilation) if needs_weight else None
        return grad_x, grad_weight, None


def _weight_gradient(x: Tensor, grad: Tensor, dilation: int) -> Tensor:
    """Sum the map under each tap times the gradient over images and pixels: ``(C, 1, 3, 3)``."""
    _, C, H, W = x.shape
    x, grad = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)  # (B, H, W, C)
    x = F.pad(x, (0, 0, dilation, dilation, dilation, dilation))
    taps = []
    for dy in range(0, KERNEL * dilation, dilation):
        for dx in range(0, KERNEL * dilation, dilation):
            taps.append((x[:, dy : dy + H, dx : dx + W] * grad).sum(dim=(0, 1, 2)))  # (C,)
    return torch.stack(taps, dim=1).view(C, 1, KERNEL, KERNEL)
