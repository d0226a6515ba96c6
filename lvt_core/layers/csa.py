"""Convolutional self-attention (paper, section 3.1).

Legend: B batch, H W map, h = ceil(H/2), w = ceil(W/2) windows, C channels, N heads, d = C / N,
K = 3 kernel side, T = K * K = 9 taps.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core.layers.csa_fused import can_fuse, fused_mix
from lvt_core.layers.init import init_linear_

KERNEL = 3
STRIDE = 2
NUM_TAPS = KERNEL * KERNEL


class CSA(nn.Module):
    """Self-attention inside 3x3 windows that stand two pixels apart.

    Window ``(i, j)`` is centred on pixel ``(2i, 2j)``; its tap ``(dy, dx)`` is the pixel
    ``(2i - 1 + dy, 2j - 1 + dx)``, zero outside the map. Every tap has its own value matrix, as in a
    convolution; the 9x9 weights between the taps come from the mean of the window's 2x2 core, as in
    dynamic convolution; each tap's output goes back to the pixel it came from, where overlapping
    windows add up (`put_back`).

    Args:
        dim: Channels ``C``.
        num_heads: Attention heads ``N``; must divide ``dim``.
        attn_drop: Dropout on the attention weights.
        proj_drop: Dropout after the output projection.

    Raises:
        ValueError: ``num_heads`` does not divide ``dim``.
    """

    def __init__(self, dim: int, *, num_heads: int, attn_drop: float = 0.0, proj_drop: float = 0.0) -> None:
        super().__init__()
        if dim % num_heads != 0:
            raise ValueError(f"CSA num_heads={num_heads}: must divide dim={dim}")
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.attn = nn.Linear(dim, num_heads * NUM_TAPS * NUM_TAPS)
        self.tap_weight = nn.Parameter(torch.empty(NUM_TAPS, dim, dim))  # (tap, out, in)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        init_linear_(self.attn, self.proj)
        nn.init.normal_(self.tap_weight, std=math.sqrt(2.0 / (NUM_TAPS * dim)))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        B, H, W, C = x.shape
        if can_fuse(x, self.num_heads) and not (self.training and self.attn_drop.p):
            x = fused_mix(x, self.logits(x), self.tap_weight, self.num_heads)  # (B, H, W, C)
            return self.proj_drop(self.proj(x))
        attn = self.attention(x)  # (B*h*w, N, 9, 9)
        windows = CutWindows.apply(x)  # (3, 3, B, h, w, C)
        v = torch.bmm(windows.view(NUM_TAPS, -1, C), self.tap_weight.transpose(1, 2))  # (9, B*h*w, C)
        v = v.view(NUM_TAPS, -1, self.num_heads, C // self.num_heads).permute(1, 2, 0, 3)
        x = attn @ v  # (B*h*w, N, 9, d)
        x = x.transpose(1, 2).reshape(*windows.shape[2:5], KERNEL, KERNEL, C)
        x = PutBack.apply(x.permute(3, 4, 0, 1, 2, 5), H, W)  # (B, H, W, C)
        return self.proj_drop(self.proj(x))

    def attention(self, x: Tensor) -> Tensor:
        """Weights between the taps of each window: ``(B, H, W, C)`` to ``(B*h*w, N, 9, 9)``."""
        x = self.logits(x).reshape(-1, self.num_heads, NUM_TAPS, NUM_TAPS) * self.scale
        return self.attn_drop(x.softmax(dim=-1))

    def logits(self, x: Tensor) -> Tensor:
        """Those weights before scaling and softmax: ``(B, H, W, C)`` to ``(B, h, w, N*81)``."""
        x = x.permute(0, 3, 1, 2)  # (B, C, H, W)
        x = F.avg_pool2d(x, STRIDE, STRIDE, ceil_mode=True, count_include_pad=False)
        return self.attn(x.permute(0, 2, 3, 1))


def cut_windows(x: Tensor) -> Tensor:
    """Cut the map into windows: ``(B, H, W, C)`` to ``(3, 3, B, h, w, C)``, the taps first."""
    B, H, W, C = x.shape
    h, w = (H + 1) // 2, (W + 1) // 2
    # Tap dy of window i is row 2i + dy of the padded map, which thus needs rows 0..2h.
    x = F.pad(x, (0, 0, 1, 2 * w - W, 1, 2 * h - H))  # (B, 2h + 1, 2w + 1, C)
    taps = [
        x[:, dy : dy + 2 * h - 1 : STRIDE, dx : dx + 2 * w - 1 : STRIDE]
        for dy in range(KERNEL)
        for dx in range(KERNEL)
    ]
    return torch.stack(taps).view(KERNEL, KERNEL, B, h, w, C)


def put_back(x: Tensor, height: int, width: int) -> Tensor:
    """Add each tap's output into the pixel it came from, drop what falls outside.

    ``(3, 3, B, h, w, C)`` to ``(B, H, W, C)``. It is a sum over windows, yet each pixel has few
    contributors, so it is written from the pixel's side, one axis after the other. Tap ``t`` of
    window ``i`` is pixel ``2i - 1 + t``. Hence, on one axis with windows ``o[i] = (o0, o1, o2)``::

        pixel 2a     (even)  is tap 1 of window a only:             o[a][1]
        pixel 2a + 1 (odd)   is tap 2 of window a, tap 0 of a + 1:  o[a][2] + o[a + 1][0]

    For 2 windows and 4 pixels: ``[o[0][1], o[0][2] + o[1][0], o[1][1], o[1][2] + 0]``. Gathering like
    this needs no atomic addition, so it is deterministic on every device.
    """
    x = _put_back_axis(x, axis=2)[:, :, :height]  # (3, B, H, w, C)
    return _put_back_axis(x, axis=2)[:, :, :width]  # (B, H, W, C)


def _put_back_axis(taps: Tensor, axis: int) -> Tensor:
    """Put three taps ``(3, ...)`` back along ``axis`` of each tap, whose length doubles."""
    first, middle, last = taps.unbind(0)
    length = first.shape[axis]
    odd = last.clone()
    odd.narrow(axis, 0, length - 1).add_(first.narrow(axis, 1, length - 1))
    return torch.stack((middle, odd), dim=axis + 1).flatten(axis, axis + 1)


class CutWindows(torch.autograd.Function):
    """`cut_windows`, whose gradient is `put_back`: each is the other's transpose.

    Autograd's own gradient would fill, copy and add one padded map per tap.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.size = x.shape[1:3]
        return cut_windows(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return PutBack.apply(grad, *ctx.size)


class PutBack(torch.autograd.Function):
    """`put_back`, whose gradient is `cut_windows`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int, width: int) -> Tensor:
        return put_back(x, height, width)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return CutWindows.apply(grad), None, None
