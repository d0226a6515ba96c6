"""The operators of Core ML that our networks use, in numpy, as Core ML's language defines them.

Arguments have the names of that language; values are float32, parameters are arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from lvt_predict.coreml_interpreter.windows import avg_pool, conv, conv_transpose, max_pool, require_option

# Linear interpolation between two points errs by less than 3e-9; beyond 6 the function is 1 in float32.
ERF_POINTS = np.linspace(-6, 6, 80_001)
ERF = np.array([math.erf(x) for x in ERF_POINTS])


def affine_dequantize(quantized_data: ndarray, zero_point: ndarray, scale: ndarray, axis: ndarray) -> ndarray:
    """Restore weights from 8 bits; `scale` and `zero_point` have one number, or one per entry of `axis`."""
    shape = [1] * quantized_data.ndim
    if scale.ndim:
        shape[int(axis)] = -1
    shift = quantized_data.astype(np.float32) - zero_point.astype(np.float32).reshape(shape)
    return scale.astype(np.float32).reshape(shape) * shift


def gelu(x: ndarray, mode: str = "EXACT") -> ndarray:
    """Compute GELU with the error function."""
    require_option("gelu", "mode", mode, "EXACT")
    erf = np.interp(x / math.sqrt(2), ERF_POINTS, ERF).astype(np.float32)
    return 0.5 * x * (1 + erf)


def silu(x: ndarray) -> ndarray:
    """Compute ``x * sigmoid(x)``."""
    return x / (1 + np.exp(-x))


def softmax(x: ndarray, axis: ndarray) -> ndarray:
    """Compute the softmax along one axis."""
    powers = np.exp(x - x.max(axis=int(axis), keepdims=True))
    return powers / powers.sum(axis=int(axis), keepdims=True)


def layer_norm(
    x: ndarray, axes: ndarray, epsilon: ndarray, gamma: ndarray | None = None, beta: ndarray | None = None
) -> ndarray:
    """Normalise to mean 0 and deviation 1 along `axes`, then apply a weight and a bias of their shape."""
    along = tuple(axes.tolist())
    centred = x - x.mean(axis=along, keepdims=True)
    x = centred / np.sqrt(np.square(centred).mean(axis=along, keepdims=True) + epsilon)
    x = x if gamma is None else x * gamma
    return x if beta is None else x + beta


def batch_norm(
    x: ndarray,
    mean: ndarray,
    variance: ndarray,
    gamma: ndarray | None = None,
    beta: ndarray | None = None,
    epsilon: ndarray | float = 1e-5,
) -> ndarray:
    """Normalise each channel of ``(B, C, ...)`` by given statistics, then apply its weight and bias."""
    scale = 1 / np.sqrt(variance + epsilon) if gamma is None else gamma / np.sqrt(variance + epsilon)
    shift = -mean * scale if beta is None else beta - mean * scale
    shape = (-1, *[1] * (x.ndim - 2))
    return x * scale.reshape(shape) + shift.reshape(shape)


def reduce_mean(x: ndarray, axes: ndarray, keep_dims: bool) -> ndarray:
    """Compute the mean along `axes`."""
    return x.mean(axis=tuple(axes.tolist()), keepdims=bool(keep_dims))


def reduce_max(x: ndarray, axes: ndarray, keep_dims: bool) -> ndarray:
    """Compute the maximum along `axes`."""
    return x.max(axis=tuple(axes.tolist()), keepdims=bool(keep_dims))


def reduce_argmax(x: ndarray, axis: ndarray, keep_dims: bool, output_dtype: str = "int32") -> ndarray:
    """Return the position of the maximum along an axis; the program declares the output's type."""
    require_option("reduce_argmax", "output_dtype", output_dtype, "int32")
    places = x.argmax(axis=int(axis))
    return np.expand_dims(places, int(axis)) if keep_dims else places


def linear(x: ndarray, weight: ndarray, bias: ndarray | None = None) -> ndarray:
    """Multiply ``(..., channels in)`` by a weight ``(out, in)`` and add the bias."""
    x = x @ weight.T
    return x if bias is None else x + bias


def matmul(x: ndarray, y: ndarray, transpose_x: bool = False, transpose_y: bool = False) -> ndarray:
    """Multiply matrices in the last two dimensions; either one may be transposed first."""
    return (x.swapaxes(-1, -2) if transpose_x else x) @ (y.swapaxes(-1, -2) if transpose_y else y)


def upsample_nearest_neighbor(
    x: ndarray, scale_factor_height: ndarray | float = 1, scale_factor_width: ndarray | float = 1
) -> ndarray:
    """Repeat rows and columns by the scale factors."""
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
    """Interpolate between the centres of pixels."""
    require_option("upsample_bilinear", "align_corners", bool(align_corners), False)
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
    """Give the values another shape."""
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
    """Take every `stride`-th entry from `begin` to `end`; a mask replaces a bound by the axis's own end."""
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
    """Concatenate along an axis, or interleave the entries."""
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
    """Split an axis into equal pieces, or into pieces of given sizes."""
    if split_sizes is not None:
        return np.split(x, np.cumsum(split_sizes)[:-1], axis=int(axis))
    assert num_splits is not None  # the language requires one of the two
    return np.split(x, int(num_splits), axis=int(axis))


def pad(x: ndarray, pad: ndarray, mode: str = "constant", constant_val: ndarray | float = 0) -> ndarray:
    """Pad the last dimensions by an amount before and behind each."""
    require_option("pad", "mode", mode, "constant")
    last = pad.reshape(-1, 2).tolist()
    return np.pad(x, [(0, 0)] * (x.ndim - len(last)) + last, constant_values=float(constant_val))


def _scaled(length: int, scale: ndarray | float) -> int:
    return math.floor(length * float(scale))


CONSTANTS: dict[str, Callable[..., Any]] = {
    "const": lambda val: val,
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_cast": lambda source_val, output_dtype: (
        source_val
    ),  # the caller stores it as the output's type
}
OPERATORS: dict[str, Callable[..., ndarray | list[ndarray]]] = {
    "add": lambda x, y: x + y,
    "avg_pool": avg_pool,
    "batch_norm": batch_norm,
    "cast": lambda x, dtype: x,  # the caller stores it as the output's type
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
    "reduce_argmax": reduce_argmax,
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
