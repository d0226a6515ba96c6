"""Convolutional self-attention (paper, section 3.1).

Legend: B batch, H W map, h = ceil(H/2), w = ceil(W/2) windows, C channels, N heads, d = C / N,
K = 3 kernel side, T = K * K = 9 taps.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core.layers.fast.cache_blocking import in_pieces
from lvt_core.layers.fast.csa_fused import can_fuse, fused_mix
from lvt_core.layers.init import init_linear_
from lvt_core.layers.window_attention import NUM_TAPS, STRIDE, window_attention


class CSA(nn.Module):
    """Self-attention inside of 3x3 windows, two pixels apart.

    Window ``(i, j)`` is centred on pixel ``(2i, 2j)``; its tap ``(dy, dx)`` is the pixel
    ``(2i - 1 + dy, 2j - 1 + dx)``, zero outside of the map.

    1. Attention: the mean of the window's 2x2 core, times one matrix, gives 9x9 weights per head.
    2. Values: every tap has its own matrix, as in a convolution.
    3. Mix: each tap's output is the weighted sum of the nine values.
    4. Put back: each output is added to the pixel of its tap; overlapping windows add up (`put_back`).
    5. One matrix on the result.

    Example: a map ``(B, 4, 6, 64)`` with two heads has ``h x w = 2 x 3`` windows. Attention is
    ``(6B, 2, 9, 9)``, values are ``(6B, 2, 9, 32)``, and 54 tap outputs per image return to 24 pixels.

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
        _, H, W, C = x.shape
        window_bytes = x.element_size() * NUM_TAPS * H * W * C // STRIDE**2
        return in_pieces(self._forward, x, bytes_each=window_bytes)

    def _forward(self, x: Tensor) -> Tensor:
        if can_fuse(x, self.num_heads) and not (self.attn_drop.training and self.attn_drop.p):
            x = fused_mix(x, self.logits(x), self.tap_weight, self.num_heads)
        else:
            x = window_attention(x, self.attention(x), self.tap_weight)
        return self.proj_drop(self.proj(x))

    def attention(self, x: Tensor) -> Tensor:
        """Compute the weights between the taps of each window: ``(B, H, W, C)`` to ``(B*h*w, N, 9, 9)``."""
        x = self.logits(x).reshape(-1, self.num_heads, NUM_TAPS, NUM_TAPS) * self.scale
        return self.attn_drop(x.softmax(dim=-1))

    def logits(self, x: Tensor) -> Tensor:
        """Compute these weights before scaling and softmax: ``(B, H, W, C)`` to ``(B, h, w, N*81)``."""
        x = x.permute(0, 3, 1, 2)  # (B, C, H, W)
        x = F.avg_pool2d(x, STRIDE, STRIDE, ceil_mode=True, count_include_pad=False)
        return self.attn(x.permute(0, 2, 3, 1))
