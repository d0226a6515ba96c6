"""Core ML's convolutions and pools in numpy, as its language defines them.

Each weight of a kernel sees a shifted, strided view of the padded map.

Legend: B batch, C D channels in and out, G groups, H W map, h w the result's height and width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from lvt_predict.errors import UserError

Pair = Sequence[int]


def conv(
    x: ndarray,
    weight: ndarray,
    strides: Pair = (1, 1),
    pad_type: str = "valid",
    pad: Sequence[int] = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    groups: int = 1,
    bias: ndarray | None = None,
) -> ndarray:
    """Convolve ``(B, C, H, W)`` with a weight ``(D, C / G, rows, columns)``."""
    groups = int(groups)
    D, share, *kernel = weight.shape
    weight = weight.reshape(groups, D // groups, share, *kernel)
    total: Any = 0
    for row, column, taps in _padded_taps(x, kernel, strides, dilations, pad_type, pad):
        B, _, h, w = taps.shape
        total = total + weight[..., row, column] @ taps.reshape(B, groups, share, h * w)  # (B, G, D/G, h*w)
    return _add_bias(total.reshape(B, D, h, w), bias)


def conv_transpose(
    x: ndarray,
    weight: ndarray,
    strides: Pair = (1, 1),
    pad_type: str = "valid",
    pad: Sequence[int] = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    groups: int = 1,
    output_shape: Sequence[int] | None = None,
    bias: ndarray | None = None,
) -> ndarray:
    """Add up a kernel ``(C, D / G, rows, columns)`` at each pixel of ``(B, C, H, W)``, times its values."""
    if pad_type != "valid":
        require_option("conv_transpose", "pad_type", pad_type, "custom")
    groups = int(groups)
    C, share, *kernel = weight.shape
    B, _, H, W = x.shape
    before, after = np.array(pad).reshape(2, 2).T
    full = (np.array([H, W]) - 1) * strides + (np.array(kernel) - 1) * dilations + 1
    size = full - before - after if output_shape is None else np.array(output_shape[2:])
    found = np.zeros((B, groups * share, *np.maximum(full, before + size)), np.float32)
    matrices = weight.reshape(groups, C // groups, share, *kernel).swapaxes(1, 2)  # (G, D/G, C/G, kernel)
    pixels = x.reshape(B, groups, C // groups, H * W)
    for row, column, taps in _taps(found[:, :, : full[0], : full[1]], kernel, strides, dilations):
        taps += (matrices[..., row, column] @ pixels).reshape(B, groups * share, H, W)
    top, left = before
    return _add_bias(found[:, :, top : top + size[0], left : left + size[1]], bias)


def avg_pool(
    x: ndarray,
    kernel_sizes: Pair,
    strides: Pair = (1, 1),
    pad_type: str = "valid",
    pad: Sequence[int] = (0, 0, 0, 0),
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> ndarray:
    """Average each window; padding counts as zeros, or not at all."""
    require_option("avg_pool", "ceil_mode", bool(ceil_mode), False)
    window = (kernel_sizes, strides, (1, 1), pad_type, pad)
    total: Any = sum(taps for _, _, taps in _padded_taps(x, *window))
    if not exclude_padding_from_average:
        return total / math.prod(kernel_sizes)
    ones = np.ones((1, 1, *x.shape[2:]), np.float32)
    inside: Any = sum(taps for _, _, taps in _padded_taps(ones, *window))
    return total / inside


def max_pool(
    x: ndarray,
    kernel_sizes: Pair,
    strides: Pair = (1, 1),
    pad_type: str = "valid",
    pad: Sequence[int] = (0, 0, 0, 0),
    ceil_mode: bool = False,
) -> ndarray:
    """Take the maximum of each window."""
    require_option("max_pool", "ceil_mode", bool(ceil_mode), False)
    windows = _padded_taps(x, kernel_sizes, strides, (1, 1), pad_type, pad, fill=-np.inf)
    return np.max([taps for _, _, taps in windows], axis=0)


def require_option(operator: str, option: str, value: object, supported: object) -> None:
    """Reject a value of an option that the interpreter does not support.

    Raises:
        UserError: The value differs from the supported one.
    """
    if value != supported:
        raise UserError(f"{operator} with {option} {value!r}: the interpreter supports only {supported!r}")


def _pads(
    x: ndarray, kernel: Pair, strides: Pair, dilations: Pair, pad_type: str, pad: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the padding before and behind rows and columns."""
    if pad_type == "custom":
        return [(int(pad[0]), int(pad[1])), (int(pad[2]), int(pad[3]))]
    if pad_type == "valid":
        return [(0, 0), (0, 0)]
    pads = []
    for length, side, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        # "same": as many windows as strides begin in the map; "same_lower" puts the odd one before.
        total = max(0, (-(-length // stride) - 1) * stride + (side - 1) * dilation + 1 - length)
        halves = (total // 2, total - total // 2)
        pads.append(halves if pad_type == "same" else halves[::-1])
    return pads


def _padded_taps(
    x: ndarray,
    kernel: Pair,
    strides: Pair,
    dilations: Pair,
    pad_type: str,
    pad: Sequence[int],
    fill: float = 0,
) -> Iterator[tuple[int, int, ndarray]]:
    """Pad a map, then yield its `_taps`."""
    pads = _pads(x, kernel, strides, dilations, pad_type, pad)
    return _taps(np.pad(x, ((0, 0), (0, 0), *pads), constant_values=fill), kernel, strides, dilations)


def _taps(x: ndarray, kernel: Pair, strides: Pair, dilations: Pair) -> Iterator[tuple[int, int, ndarray]]:
    """Yield each row and column of a kernel with the view ``(B, C, h, w)`` of the padded map below it."""
    h, w = (
        (length - (side - 1) * dilation - 1) // stride + 1
        for length, side, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True)
    )
    for row, column in np.ndindex(*kernel):
        top, left = row * dilations[0], column * dilations[1]
        down = slice(top, top + (h - 1) * strides[0] + 1, strides[0])
        right = slice(left, left + (w - 1) * strides[1] + 1, strides[1])
        yield row, column, x[:, :, down, right]


def _add_bias(x: ndarray, bias: ndarray | None) -> ndarray:
    return x if bias is None else x + bias[:, None, None]
