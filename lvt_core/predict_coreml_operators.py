"""Core ML's operators in numpy, as its language defines them: those that our networks have.

They take what the program names, in float32, and parameters as arrays. Windows of convolutions and pools are
gone through tap by tap: one shifted, strided view of the padded map for each weight of the kernel.

Legend: B batch, C D channels in and out, G groups, H W map, h w the result's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from lvt_core.errors import UserError

# Between two points linear interpolation errs by less than 2e-9; beyond 6 it is 1 in float32.
ERF_POINTS = np.linspace(-6, 6, 80_001)
ERF = np.array([math.erf(x) for x in ERF_POINTS])

Pair = Sequence[int]


def affine_dequantize(quantized_data: ndarray, zero_point: ndarray, scale: ndarray, axis: ndarray) -> ndarray:
    shape = [1] * quantized_data.ndim
    if scale.ndim:
        shape[int(axis)] = -1
    shift = quantized_data.astype(np.float32) - zero_point.astype(np.float32).reshape(shape)
    return scale.astype(np.float32).reshape(shape) * shift


def gelu(x: ndarray, mode: str = "EXACT") -> ndarray:
    _require("gelu", "mode", mode, "EXACT")
    erf = np.interp(x / math.sqrt(2), ERF_POINTS, ERF).astype(np.float32)
    return 0.5 * x * (1 + erf)


def silu(x: ndarray) -> ndarray:
    return x / (1 + np.exp(-x))


def softmax(x: ndarray, axis: ndarray) -> ndarray:
    powers = np.exp(x - x.max(axis=int(axis), keepdims=True))
    return powers / powers.sum(axis=int(axis), keepdims=True)


def layer_norm(
    x: ndarray, axes: ndarray, epsilon: ndarray, gamma: ndarray | None = None, beta: ndarray | None = None
) -> ndarray:
    along = tuple(axes.tolist())
    centred = x - x.mean(axis=along, keepdims=True)
    x = centred / np.sqrt(np.square(centred).mean(axis=along, keepdims=True) + epsilon)
    x = x if gamma is None else x * gamma
    return x if beta is None else x + beta


def reduce_mean(x: ndarray, axes: ndarray, keep_dims: bool) -> ndarray:
    return x.mean(axis=tuple(axes.tolist()), keepdims=bool(keep_dims))


def reduce_max(x: ndarray, axes: ndarray, keep_dims: bool) -> ndarray:
    return x.max(axis=tuple(axes.tolist()), keepdims=bool(keep_dims))


def linear(x: ndarray, weight: ndarray, bias: ndarray | None = None) -> ndarray:
    x = x @ weight.T
    return x if bias is None else x + bias


def matmul(x: ndarray, y: ndarray, transpose_x: bool = False, transpose_y: bool = False) -> ndarray:
    return (x.swapaxes(-1, -2) if transpose_x else x) @ (y.swapaxes(-1, -2) if transpose_y else y)


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
    groups = int(groups)
    D, share, *kernel = weight.shape
    pads = _pads(x, kernel, strides, dilations, pad_type, pad)
    x = np.pad(x, ((0, 0), (0, 0), *pads))
    weight = weight.reshape(groups, D // groups, share, *kernel)
    total: Any = 0
    for row, column, taps in _taps(x, kernel, strides, dilations):
        B, _, h, w = taps.shape
        total = total + weight[..., row, column] @ taps.reshape(B, groups, share, h * w)  # (B, G, D/G, h*w)
    found = total.reshape(B, D, h, w)
    return found if bias is None else found + bias[:, None, None]


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
    if pad_type != "valid":
        _require("conv_transpose", "pad_type", pad_type, "custom")
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
    found = found[:, :, top : top + size[0], left : left + size[1]]
    return found if bias is None else found + bias[:, None, None]


def avg_pool(
    x: ndarray,
    kernel_sizes: Pair,
    strides: Pair = (1, 1),
    pad_type: str = "valid",
    pad: Sequence[int] = (0, 0, 0, 0),
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> ndarray:
    _require("avg_pool", "ceil_mode", bool(ceil_mode), False)
    pads = _pads(x, kernel_sizes, strides, (1, 1), pad_type, pad)
    total = _window_sum(np.pad(x, ((0, 0), (0, 0), *pads)), kernel_sizes, strides)
    if not exclude_padding_from_average:
        return total / math.prod(kernel_sizes)
    inside = np.pad(np.ones((1, 1, *x.shape[2:]), np.float32), ((0, 0), (0, 0), *pads))
    return total / _window_sum(inside, kernel_sizes, strides)


def max_pool(
    x: ndarray,
    kernel_sizes: Pair,
    strides: Pair = (1, 1),
    pad_type: str = "valid",
    pad: Sequence[int] = (0, 0, 0, 0),
    ceil_mode: bool = False,
) -> ndarray:
    _require("max_pool", "ceil_mode", bool(ceil_mode), False)
    pads = _pads(x, kernel_sizes, strides, (1, 1), pad_type, pad)
    x = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=-np.inf)
    windows = _taps(x, kernel_sizes, strides, (1, 1))
    return np.max([taps for _, _, taps in windows], axis=0)


def upsample_nearest_neighbor(
    x: ndarray, scale_factor_height: ndarray | float = 1, scale_factor_width: ndarray | float = 1
) -> ndarray:
    rows, columns = (
        (np.arange(_scaled(length, scale)) * length) // _scaled(length, scale)
        for length, scale in zip(x.shape[-2:], (scale_factor_height, scale_factor_width), strict=True)
    )
    return x[..., rows[:, None], columns]


def upsample_bilinear(
    x: ndarray,
    scale_factor_height: ndarray | float = 1,
    scale_factor_width: ndarray | float = 1,
    align_corners: bool = True,
) -> ndarray:
    _require("upsample_bilinear", "align_corners", bool(align_corners), False)
    for axis, scale in ((-2, scale_factor_height), (-1, scale_factor_width)):
        length = x.shape[axis]
        spacing = length / _scaled(length, scale)
        places = (np.arange(_scaled(length, scale)) + 0.5) * spacing - 0.5
        places = np.clip(places, 0, length - 1)
        lower = places.astype(int)
        upper = np.minimum(lower + 1, length - 1)
        shares = (places - lower).astype(np.float32).reshape(-1, *[1] * (-axis - 1))
        x = x.take(lower, axis) * (1 - shares) + x.take(upper, axis) * shares
    return x


def reshape(x: ndarray, shape: ndarray) -> ndarray:
    return x.reshape(shape.tolist())


def slice_by_index(
    x: ndarray,
    begin: ndarray,
    end: ndarray,
    stride: ndarray | None = None,
    begin_mask: ndarray | None = None,
    end_mask: ndarray | None = None,
    squeeze_mask: ndarray | None = None,
) -> ndarray:
    places: list[Any] = []
    for axis in range(x.ndim):
        first = None if begin_mask is not None and begin_mask[axis] else int(begin[axis])
        last = None if end_mask is not None and end_mask[axis] else int(end[axis])
        if squeeze_mask is not None and squeeze_mask[axis]:
            places.append(int(begin[axis]))
        else:
            places.append(slice(first, last, None if stride is None else int(stride[axis])))
    return x[tuple(places)]


def concat(values: Sequence[ndarray], axis: ndarray, interleave: bool = False) -> ndarray:
    if not interleave:
        return np.concatenate(values, axis=int(axis))
    place = int(axis) % values[0].ndim
    turns = np.stack(values, axis=place + 1)  # an entry of each, then the next of each
    shape = list(values[0].shape)
    shape[place] *= len(values)
    return turns.reshape(shape)


def split(
    x: ndarray, axis: ndarray, num_splits: ndarray | None = None, split_sizes: ndarray | None = None
) -> list[ndarray]:
    if split_sizes is not None:
        return np.split(x, np.cumsum(split_sizes)[:-1], axis=int(axis))
    assert num_splits is not None  # the language wants one of them
    return np.split(x, int(num_splits), axis=int(axis))


def pad(x: ndarray, pad: ndarray, mode: str = "constant", constant_val: ndarray | float = 0) -> ndarray:
    _require("pad", "mode", mode, "constant")
    last = pad.reshape(-1, 2).tolist()
    return np.pad(x, [(0, 0)] * (x.ndim - len(last)) + last, constant_values=float(constant_val))


def _pads(
    x: ndarray, kernel: Pair, strides: Pair, dilations: Pair, pad_type: str, pad: Sequence[int]
) -> list[tuple[int, int]]:
    """What is put before and behind rows and columns."""
    if pad_type == "custom":
        return [(int(pad[0]), int(pad[1])), (int(pad[2]), int(pad[3]))]
    if pad_type == "valid":
        return [(0, 0), (0, 0)]
    found = []
    for length, side, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        # "same": as many windows as strides begin in the map; of an odd sum "same_lower" has more before.
        total = max(0, (-(-length // stride) - 1) * stride + (side - 1) * dilation + 1 - length)
        halves = (total // 2, total - total // 2)
        found.append(halves if pad_type == "same" else halves[::-1])
    return found


def _taps(x: ndarray, kernel: Pair, strides: Pair, dilations: Pair) -> Iterator[tuple[int, int, ndarray]]:
    """For each row and column of a kernel: what of a padded map lies below it, ``(B, C, h, w)``, a view."""
    h, w = (
        (length - (side - 1) * dilation - 1) // stride + 1
        for length, side, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True)
    )
    for row, column in np.ndindex(*kernel):
        top, left = row * dilations[0], column * dilations[1]
        down = slice(top, top + (h - 1) * strides[0] + 1, strides[0])
        right = slice(left, left + (w - 1) * strides[1] + 1, strides[1])
        yield row, column, x[:, :, down, right]


def _window_sum(x: ndarray, kernel: Pair, strides: Pair) -> ndarray:
    total: Any = 0
    for _, _, taps in _taps(x, kernel, strides, (1, 1)):
        total = total + taps
    return total


def _scaled(length: int, scale: ndarray | float) -> int:
    return math.floor(length * float(scale))


def _require(operator: str, option: str, found: object, known: object) -> None:
    if found != known:
        raise UserError(f"{operator} with {option} {found!r}: the interpreter has {known!r} alone")


CONSTANTS: dict[str, Callable[..., Any]] = {
    "const": lambda val: val,
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_cast": lambda source_val, output_dtype: source_val,  # stored as its output's type
}
OPERATORS: dict[str, Callable[..., ndarray | list[ndarray]]] = {
    "add": lambda x, y: x + y,
    "avg_pool": avg_pool,
    "cast": lambda x, dtype: x,  # stored as its output's type
    "concat": concat,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "gelu": gelu,
    "layer_norm": layer_norm,
    "linear": linear,
    "matmul": matmul,
    "max_pool": max_pool,
    "mul": lambda x, y: x * y,
    "pad": pad,
    "real_div": lambda x, y: x / y,
    "reduce_max": reduce_max,
    "reduce_mean": reduce_mean,
    "relu": lambda x: np.maximum(x, 0),
    "reshape": reshape,
    "silu": silu,
    "slice_by_index": slice_by_index,
    "softmax": softmax,
    "split": split,
    "sqrt": lambda x: np.sqrt(x),
    "square": lambda x: np.square(x),
    "squeeze": lambda x, axes: x.squeeze(tuple(axes.tolist())),
    "sub": lambda x, y: x - y,
    "transpose": lambda x, perm: x.transpose(perm),
    "upsample_bilinear": upsample_bilinear,
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
}
