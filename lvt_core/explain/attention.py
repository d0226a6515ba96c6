"""The attention weights of CSA and RASA, computed by the layers' own parts.

Legend: B batch, H W map, C channels, N heads, d = C / N, P pixels, S reduced positions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lvt_core.layers import CSA, RASA, AtrousQuery
from lvt_core.layers.fast.attention import attend
from lvt_core.layers.fast.depthwise import dilated_depthwise_conv
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
    """Compute each rate's part of the query, ``SiLU(DW_r(W_q x))``: ``(B, H, W, C)`` to ``(B, C, H, W)``."""
    if not isinstance(layer.atrous, AtrousQuery):
        return {}
    q, weight = layer.q(x).permute(0, 3, 1, 2), layer.atrous.conv.weight
    return {rate: F.silu(dilated_depthwise_conv(q, weight, rate)) for rate in layer.atrous.rates}


def query_of(layer: RASA, x: Tensor) -> Tensor:
    """Compute the query of a map: ``(B, H, W, C)`` to ``(B, C, H, W)``."""
    return layer.atrous(layer.q(x).permute(0, 3, 1, 2))


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
    q = query_of(layer, x)[0].flatten(1)[:, pixels].T  # (P, C)
    k, _ = layer.kv(reduced)[0].flatten(0, 1).chunk(2, dim=-1)  # (S, C)
    q, k = _heads(layer, q), _heads(layer, k)  # (N, P, d), (N, S, d)
    weights = (q @ k.transpose(1, 2) * layer.head_dim**-0.5).softmax(dim=-1)  # (N, P, S)
    return weights.unflatten(2, reduced.shape[1:3])


def step_with(layer: RASA, x: Tensor, q: Tensor) -> Tensor:
    """Compute one step with another query ``(B, C, H, W)``: ``(B, H, W, C)`` to ``(B, H, W, C)``."""
    k, v = layer.kv(layer.reduce(x)).flatten(1, 2).chunk(2, dim=-1)  # (B, S, C) each
    q = q.flatten(2).transpose(1, 2)  # (B, L, C)
    mixed = attend(_heads(layer, q), _heads(layer, k), _heads(layer, v), drop=0.0)  # (B, N, L, d)
    return layer.proj(mixed.transpose(1, 2).reshape(x.shape))


def recurse(x: Tensor, step: Callable[[Tensor], Tensor], *, times: int) -> tuple[list[Tensor], Tensor]:
    """Compute RASA's recursion.

    Args:
        x: Input of the layer.
        step: Function that computes one step ``f``.
        times: Number of steps.

    Returns:
        Input of each step, and the result.
    """
    inputs, y = [x], step(x)
    if times > 1:
        y = F.silu(y)
    for _ in range(times - 1):
        inputs.append(inputs[-1] + y)
        y = F.silu(step(inputs[-1]))
    return inputs, y


def _heads(layer: RASA, x: Tensor) -> Tensor:
    """Reshape ``(..., L, C)`` to ``(..., N, L, d)``."""
    return x.unflatten(-1, (layer.num_heads, layer.head_dim)).transpose(-3, -2)
