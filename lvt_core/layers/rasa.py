"""Recursive atrous self-attention (paper, section 3.2).

Legend: B batch, H W map, L = H * W, C channels, N heads, d = C / N, R reduction,
S = floor(H/R) * floor(W/R) reduced positions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core.layers.fast.depthwise import dilated_depthwise_conv
from lvt_core.layers.init import init_conv_, init_linear_


class AtrousQuery(nn.Module):
    """One 3x3 depthwise kernel applied at several dilations, SiLU on each, summed.

    The kernel is shared, so several receptive fields cost the parameters of one.

    Args:
        dim: Channels ``C``.
        rates: Dilations, each also the padding, so the map keeps its size.
    """

    def __init__(self, dim: int, *, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.rates = rates
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
        nn.init.kaiming_uniform_(self.conv.weight)  # gain sqrt(2)

    def forward(self, q: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, H, W)``."""
        weight = self.conv.weight
        maps = [F.silu(dilated_depthwise_conv(q, weight, rate)) for rate in self.rates]
        return sum(maps[1:], start=maps[0])


class SpatialReduction(nn.Conv2d):
    """An ``R x R`` convolution with stride ``R``: every pixel is used once, so it is one matrix product.

    It is a convolution only in its weights and their names: maps are channels-last in and out.

    Args:
        dim: Channels ``C``.
        ratio: ``R``.
    """

    def __init__(self, dim: int, *, ratio: int) -> None:
        super().__init__(dim, dim, ratio, ratio)
        self.ratio = ratio
        init_conv_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H // R, W // R, C)``; pixels that fill no window are left out."""
        return reduce_windows(x, self.ratio, self.matrix(), self.bias)

    def matrix(self) -> Tensor:
        """Return the kernel as a matrix ``(C, R*R*C)``: pixels row by row, channels last."""
        return self.weight.permute(0, 2, 3, 1).flatten(1)


def reduce_windows(x: Tensor, ratio: int, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply each ``R x R`` window of a map ``(B, H, W, C)`` by a matrix: ``(B, H // R, W // R, C)``."""
    B, H, W, C = x.shape
    R = ratio
    h, w = H // R, W // R
    x = x[:, : h * R, : w * R].reshape(B * h, R, w, R * C).transpose(1, 2)  # (B*h, w, R, R*C)
    return F.linear(x.reshape(B, h, w, R * R * C), matrix, bias)


def recurse(step: Callable[[Tensor], Tensor], x: Tensor, num_recursions: int) -> Tensor:
    """Apply RASA's recursion to one attention step; `RASA` has the formula."""
    if num_recursions == 1:
        return step(x)
    y = F.silu(step(x))
    for _ in range(num_recursions - 1):
        x = x + y
        y = F.silu(step(x))
    return y


class RASA(nn.Module):
    """Self-attention with a multi-scale query, applied recursively with one set of weights.

    One step ``f`` is attention whose query is atrous and whose keys and values come from a map that is
    ``R`` times smaller. The recursion adds depth without parameters: with 2 steps,

        ``y1 = SiLU(f(x))``,  ``y2 = SiLU(f(x + y1))``,  result ``y2``.

    With one step there is no SiLU: the result is ``f(x)``.

    Example: a map ``(B, 28, 28, 64)`` with two heads and ``R = 4`` has queries ``(B, 2, 784, 32)``, keys and
    values ``(B, 2, 49, 32)``; both steps use the same weights, so the second one costs time, not parameters.

    Args:
        dim: Channels ``C``.
        num_heads: Attention heads ``N``; must divide ``dim``.
        sr_ratio: Key/value reduction ``R``.
        atrous_rates: Dilations of the query; ``None`` for a plain query.
        num_recursions: Number of steps.
        attn_drop: Dropout on the attention weights.
        proj_drop: Dropout after the output projection.

    Raises:
        ValueError: ``num_heads`` does not divide ``dim``.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        sr_ratio: int = 1,
        atrous_rates: tuple[int, ...] | None = (1, 3, 5),
        num_recursions: int = 2,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        super().__init__()
        if dim % num_heads != 0:
            raise ValueError(f"RASA num_heads={num_heads}: must divide dim={dim}")
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.sr_ratio = sr_ratio
        self.num_recursions = num_recursions
        self.attn_drop = attn_drop
        self.q = nn.Linear(dim, dim, bias=False)
        self.atrous = AtrousQuery(dim, rates=atrous_rates) if atrous_rates else nn.Identity()
        if sr_ratio > 1:
            self.sr = SpatialReduction(dim, ratio=sr_ratio)
            self.norm = nn.LayerNorm(dim)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        init_linear_(self.q, self.kv, self.proj)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        return recurse(self.step, x, self.num_recursions)

    def step(self, x: Tensor) -> Tensor:
        """Compute one attention step ``f``: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        B, H, W, C = x.shape
        q = self.atrous(self.q(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (B, H, W, C)
        k, v = self.kv(self.reduce(x)).flatten(1, 2).chunk(2, dim=-1)  # (B, S, C) each
        drop = self.attn_drop if self.training else 0.0
        q, k, v = (self._split_heads(t) for t in (q.flatten(1, 2), k, v))  # (B, N, L or S, d)
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=drop)  # (B, N, L, d)
        x = x.transpose(1, 2).reshape(B, H, W, C)
        return self.proj_drop(self.proj(x))

    def reduce(self, x: Tensor) -> Tensor:
        """Reduce the map for keys and values: ``(B, H, W, C)`` to ``(B, H/R, W/R, C)``."""
        R = self.sr_ratio
        if R == 1:
            return x
        _, H, W, _ = x.shape
        if H < R or W < R:  # at least one window must fit, or there would be no keys
            x = F.pad(x, (0, 0, 0, max(0, R - W), 0, max(0, R - H)))
        return self.norm(self.sr(x))

    def _split_heads(self, x: Tensor) -> Tensor:
        """``(B, L, C)`` to ``(B, N, L, d)``."""
        return x.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)
