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

from lvt_core.layers.fast.cache_blocking import in_pieces, works_in_pieces
from lvt_core.layers.fast.csa_fused import can_fuse, fused_mix
from lvt_core.layers.init import init_linear_
from lvt_core.layers.window_attention import NUM_TAPS, STRIDE, window_attention

torch.fx.wrap("window_attention")  # one node of a traced graph


class CSA(nn.Module):
    """Self-attention inside of 3x3 windows, two pixels apart.

    Window ``(i, j)`` is centred on pixel ``(2i, 2j)``; its tap ``(dy, dx)`` is the pixel
    ``(2i - 1 + dy, 2j - 1 + dx)``, zero outside of the map. Its core is the 2x2 square from ``(2i, 2j)`` on,
    as far as it lies in the map. For the nine pixels ``x_m`` of a window::

        1. attention   A   = softmax((W_a mean(core) + b_a) / sqrt(d))    9x9 weights, for each head
        2. values      v_m = W_m x_m                                      each tap has its own matrix
        3. mix         o_n = sum_m A[n, m] v_m                            head by head
        4. put back    y   = sum of the outputs at each pixel             windows overlap (`put_back`)
        5. project     W_p y + b_p

    Example: a map ``(B, 4, 6, 64)`` with two heads has ``h x w = 2 x 3`` windows, six per image::

        1. cores (B, 2, 3, 64) -> logits (B, 2, 3, 2*81) -> A (6B, 2, 9, 9)
        2. windows (3, 3, B, 2, 3, 64) -> v (6B, 2, 9, 32)
        3. A @ v (6B, 2, 9, 32) -> o (3, 3, B, 2, 3, 64)
        4. 54 outputs per image -> y (B, 4, 6, 64)

    14 of the 54 outputs lie outside of the map and are dropped. The other 40 are added to 24 pixels: pixel
    ``(0, 0)`` has one output, ``(0, 1)`` two, ``(1, 1)`` four.

    Args:
        dim: Channels ``C``.
        num_heads: Attention heads ``N``; must divide ``dim``.
        attn_drop: Dropout on the attention weights.
        proj_drop: Dropout after the output projection.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: ``num_heads`` does not divide ``dim``.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: Any = {"device": device, "dtype": dtype}
        if dim % num_heads != 0:
            raise ValueError(f"CSA num_heads={num_heads}: must divide dim={dim}")
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.attn = nn.Linear(dim, num_heads * NUM_TAPS * NUM_TAPS, **factory)
        self.tap_weight = nn.Parameter(torch.empty(NUM_TAPS, dim, dim, **factory))  # (tap, out, in)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim, **factory)
        self.proj_drop = nn.Dropout(proj_drop)
        init_linear_(self.attn, self.proj)
        nn.init.normal_(self.tap_weight, std=math.sqrt(2.0 / (NUM_TAPS * dim)))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        if torch.jit.is_scripting():
            return self._forward(x)
        if works_in_pieces(self, x):
            _, H, W, C = x.shape
            window_bytes = x.element_size() * NUM_TAPS * H * W * C // STRIDE**2
            return in_pieces(self._forward, x, bytes_each=window_bytes)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        return self.proj_drop(self.proj(self.mix(x)))  # (B, H, W, C)

    def mix(self, x: Tensor) -> Tensor:
        """Compute steps 1 to 4: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        if torch.jit.is_scripting():
            return window_attention(x, self.attention(x), self.tap_weight)
        if can_fuse(x, self.num_heads) and not (self.attn_drop.training and self.attn_drop.p):
            return fused_mix(x, self.logits(x), self.tap_weight, self.num_heads)
        return window_attention(x, self.attention(x), self.tap_weight)

    def attention(self, x: Tensor) -> Tensor:
        """Compute the weights between the taps of each window: ``(B, H, W, C)`` to ``(B*h*w, N, 9, 9)``."""
        x = self.logits(x).reshape(-1, self.num_heads, 9, 9) * self.scale
        return self.attn_drop(x.softmax(dim=-1))

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of these weights, not yet scaled: ``(B, H, W, C)`` to ``(B, h, w, N*81)``."""
        x = x.permute(0, 3, 1, 2)  # (B, C, H, W)
        x = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        return self.attn(x.permute(0, 2, 3, 1))
