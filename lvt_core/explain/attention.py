"""The attention weights of CSA and RASA, computed by the layers' own parts.

Legend: B batch, H W map, C channels, N heads, d = C / N, P pixels, S reduced positions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lvt_core.layers import CSA, RASA, AtrousQuery
from lvt_core.layers.fast.depthwise import dilated_depthwise_conv
from lvt_core.layers.rasa import Recursion
from lvt_core.layers.window_attention import NUM_TAPS, STRIDE, window_attention

UNIFORM = 1 / NUM_TAPS


def window_weights(layer: CSA, x: Tensor, row: int, column: int) -> Tensor:
    """Return the weights in the window whose core contains a pixel of a map ``(1, H, W, C)``.

    Returns:
        ``(N, 9, 9)``: head, query tap, key tap.
    """
    _, H, W, _ = x.shape
    windows = layer.attention(x).unflatten(0, (-(-H // STRIDE), -(-W // STRIDE)))  # (h, w, N, 9, 9)
    return windows[row // STRIDE, column // STRIDE]


def mix_windows(layer: CSA, x: Tensor, weights: Tensor) -> Tensor:
    """Compute CSA with other weights ``(B*h*w, N, 9, 9)``: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
    return layer.proj(window_attention(x, weights, layer.tap_weight))


def mix_uniformly(layer: CSA, x: Tensor) -> Tensor:
    """Compute CSA with all weights equal."""
    return mix_windows(layer, x, torch.full_like(layer.attention(x), UNIFORM))


def rates_of(layer: RASA) -> tuple[int, ...]:
    """Return the dilations of a layer's query; none if the query is plain."""
    return layer.atrous.rates if isinstance(layer.atrous, AtrousQuery) else ()


def rate_queries(layer: RASA, x: Tensor) -> dict[int, Tensor]:
    """Compute each rate's part of the query, ``SiLU(DW_r(W_q x))``: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
    if not isinstance(layer.atrous, AtrousQuery):
        return {}
    q, weight = layer.q(x).permute(0, 3, 1, 2), layer.atrous.conv.weight
    parts = {rate: F.silu(dilated_depthwise_conv(q, weight, rate)) for rate in layer.atrous.rates}
    return {rate: part.permute(0, 2, 3, 1) for rate, part in parts.items()}


def attention_rows(layer: RASA, x: Tensor, pixels: Tensor) -> Tensor:
    """Compute how much pixels of a map ``(1, H, W, C)`` attend to each of its reduced positions.

    Args:
        layer: Layer.
        x: Input of one step.
        pixels: Numbers of the pixels, row by row, ``(P,)``.

    Returns:
        ``(N, P, h, w)``; the weights of each head and pixel add up to 1.
    """
    reduced = layer.reduce(x)  # (1, h, w, C)
    q = layer.query(x)[0].flatten(0, 1)[pixels]  # (P, C)
    k, _ = layer.kv(reduced)[0].flatten(0, 1).chunk(2, dim=-1)  # (S, C)
    q, k = _heads(layer, q), _heads(layer, k)  # (N, P, d), (N, S, d)
    weights = (q @ k.transpose(1, 2) * layer.head_dim**-0.5).softmax(dim=-1)  # (N, P, S)
    return weights.unflatten(2, reduced.shape[1:3])


class RecordedRecursion(Recursion):
    """RASA's recursion with any query; it keeps the input of each step.

    Args:
        layer: Layer, whose keys, values and projection are used.
        query: Function that computes a step's query, ``(B, H, W, C)`` to ``(B, H, W, C)``.

    Attributes:
        inputs: Input of each step that was computed, ``(B, H, W, C)``.
    """

    def __init__(self, layer: RASA, query: Callable[[Tensor], Tensor]) -> None:
        super().__init__(layer.num_recursions)
        self.layer = layer
        self.query = query
        self.inputs: list[Tensor] = []

    def step(self, x: Tensor) -> Tensor:
        """Compute one step and keep its input: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        self.inputs.append(x)
        return self.layer.mix(x, self.query(x))


def _heads(layer: RASA, x: Tensor) -> Tensor:
    """Reshape ``(..., L, C)`` to ``(..., N, L, d)``."""
    return x.unflatten(-1, (layer.num_heads, layer.head_dim)).transpose(-3, -2)
