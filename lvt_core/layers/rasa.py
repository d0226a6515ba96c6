"""Recursive atrous self-attention (paper, section 3.2).

Legend: B batch, H W map, L = H * W, C channels, N heads, d = C / N, R reduction,
S = floor(H/R) * floor(W/R) reduced positions.
"""

from __future__ import annotations

import abc
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core.layers.fast.attention import attend
from lvt_core.layers.fast.depthwise import dilated_depthwise_conv
from lvt_core.layers.init import init_conv_, init_linear_

torch.fx.wrap("attend")  # one node of a traced graph each
torch.fx.wrap("dilated_depthwise_conv")
torch.fx.wrap("pad_to_window")


class AtrousQuery(nn.Module):
    """A query that sees several scales: ``sum_r SiLU(DW_r(q))``, one 3x3 depthwise kernel at each dilation r.

    The dilations share the kernel, so several receptive fields cost the parameters of one.

    Args:
        dim: Channels ``C``.
        rates: Dilations; the padding equals the dilation, so the map keeps its size.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        dim: int,
        *,
        rates: tuple[int, ...],
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: Any = {"device": device, "dtype": dtype}
        self.rates = rates
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False, **factory)
        nn.init.kaiming_uniform_(self.conv.weight)  # gain sqrt(2)

    def forward(self, q: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, H, W)``."""
        weight = self.conv.weight
        total = F.silu(dilated_depthwise_conv(q, weight, self.rates[0]))
        for rate in self.rates[1:]:
            total = total + F.silu(dilated_depthwise_conv(q, weight, rate))
        return total


class SpatialReduction(nn.Conv2d):
    """An ``R x R`` convolution with stride ``R``: every pixel is used once, so it is one matrix product.

    It is a convolution only for its weights and their names; its maps are channels-last.

    Args:
        dim: Channels ``C``.
        ratio: Side and stride ``R``.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        dim: int,
        *,
        ratio: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(dim, dim, ratio, ratio, device=device, dtype=dtype)
        self.ratio = ratio
        init_conv_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H // R, W // R, C)``; pixels after the last window are unused."""
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


def pad_to_window(x: Tensor, ratio: int) -> Tensor:
    """Pad a map ``(B, H, W, C)`` with zeros until one ``R x R`` window fits, or there would be no keys."""
    _, height, width, _ = x.shape
    if height < ratio or width < ratio:
        x = F.pad(x, (0, 0, 0, max(0, ratio - width), 0, max(0, ratio - height)))
    return x


class Recursion(nn.Module, abc.ABC):
    """The recursion of `RASA`'s formula; subclasses define the step ``f``.

    Args:
        num_recursions: Number of steps.
    """

    def __init__(self, num_recursions: int) -> None:
        super().__init__()
        self.num_recursions = num_recursions

    @abc.abstractmethod
    def step(self, x: Tensor) -> Tensor:
        """Compute one attention step ``f``: ``(B, H, W, C)`` to ``(B, H, W, C)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        if self.num_recursions == 1:
            return self.step(x)
        y = F.silu(self.step(x))
        for _ in range(self.num_recursions - 1):
            x = x + y
            y = F.silu(self.step(x))
        return y


class RASA(Recursion):
    """Self-attention with a multi-scale query, applied recursively with one set of weights.

    One step ``f`` is attention whose query is atrous and whose keys and values come from a map that is
    ``R`` times smaller::

        q    = sum_r SiLU(DW_r(W_q x))           r: the dilations, with one shared 3x3 kernel (`AtrousQuery`)
        k, v = W_kv LN(SR(x))                    SR: R x R convolution with stride R (`SpatialReduction`)
        f(x) = W_p softmax(q k^T / sqrt(d)) v    head by head

    The recursion adds depth without parameters. With two steps::

        y1 = SiLU(f(x))
        y2 = SiLU(f(x + y1))                     the result

    With one step there is no SiLU: the result is ``f(x)``.

    Example: a map ``(B, 28, 28, 64)``, two heads, ``R = 4``::

        q       (B, 28, 28, 64)                 -> (B, 2, 784, 32)     one query per pixel
        SR(x)   (B, 28, 28, 64) -> (B, 7, 7, 64)
        k, v    (B, 7, 7, 64)   -> (B, 49, 64)  -> (B, 2, 49, 32)      49 keys, not 784
        q k^T   (B, 2, 784, 49)
        f(x)    (B, 2, 784, 32)                 -> (B, 28, 28, 64)

    Args:
        dim: Channels ``C``.
        num_heads: Attention heads ``N``; must divide ``dim``.
        sr_ratio: Key/value reduction ``R``.
        atrous_rates: Dilations of the query; ``None`` for a plain query.
        num_recursions: Number of steps.
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
        sr_ratio: int = 1,
        atrous_rates: tuple[int, ...] | None = (1, 3, 5),
        num_recursions: int = 2,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_recursions)
        factory: Any = {"device": device, "dtype": dtype}
        if dim % num_heads != 0:
            raise ValueError(f"RASA num_heads={num_heads}: must divide dim={dim}")
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.sr_ratio = sr_ratio
        self.attn_drop = attn_drop
        self.q = nn.Linear(dim, dim, bias=False, **factory)
        self.atrous = AtrousQuery(dim, rates=atrous_rates, **factory) if atrous_rates else nn.Identity()
        self.sr = SpatialReduction(dim, ratio=sr_ratio, **factory) if sr_ratio > 1 else nn.Identity()
        self.norm = nn.LayerNorm(dim, **factory) if sr_ratio > 1 else nn.Identity()
        self.kv = nn.Linear(dim, 2 * dim, bias=False, **factory)
        self.proj = nn.Linear(dim, dim, **factory)
        self.proj_drop = nn.Dropout(proj_drop)
        init_linear_(self.q, self.kv, self.proj)

    def step(self, x: Tensor) -> Tensor:
        """Compute one attention step ``f``: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        return self.mix(x, self.query(x))

    def query(self, x: Tensor) -> Tensor:
        """Compute each pixel's query: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        return self.atrous(self.q(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def mix(self, x: Tensor, q: Tensor) -> Tensor:
        """Attend from queries ``(B, H, W, C)`` to the reduced map: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        B, H, W, C = x.shape
        k, v = self.kv(self.reduce(x)).flatten(1, 2).chunk(2, dim=-1)  # (B, S, C) each
        q, k, v = self._split_heads(q.flatten(1, 2)), self._split_heads(k), self._split_heads(v)
        x = attend(q, k, v, drop=self.attn_drop if self.training else 0.0)  # (B, N, L, d)
        x = x.transpose(1, 2).reshape(B, H, W, C)
        return self.proj_drop(self.proj(x))

    def reduce(self, x: Tensor) -> Tensor:
        """Reduce the map for keys and values: ``(B, H, W, C)`` to ``(B, H/R, W/R, C)``."""
        return self.norm(self.sr(pad_to_window(x, self.sr_ratio)))

    def _split_heads(self, x: Tensor) -> Tensor:
        """Reshape ``(B, L, C)`` to ``(B, N, L, d)``."""
        return x.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)
