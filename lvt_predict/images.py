"""The input of exported networks: from bytes to normalised arrays, and the checks of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.manifest import is_whole

COLOURS = 3


def normalize(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Turn bytes ``(B, H, W, 3)`` into normalised float32 ``(B, 3, H, W)``.

    Raises:
        UserError: The images have another type or shape, which would silently give wrong results.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[3:] != (COLOURS,):
        raise UserError(f"images are {_describe(images)}: they must be uint8 (batch, height, width, 3), RGB")
    if not images.size:
        raise UserError(f"images are {_describe(images)}: they must not be empty")
    shift, scale = (np.asarray(value, dtype=np.float32) for value in (mean, std))
    scaled = (images.astype(np.float32) / 255 - shift) / scale
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def require_input(images: np.ndarray) -> None:
    """Reject input that is not a float32 array of four dimensions.

    Raises:
        UserError: The input has another type or shape.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.float32 or images.ndim != 4:
        raise UserError(
            f"images are {_describe(images)}: they must be float32 (batch, channels, height, width)"
        )


def require_size(shape: Sequence[int], allowed: Sequence[Any]) -> None:
    """Reject images of a size that a file was not exported for.

    Args:
        shape: Shape of the images.
        allowed: ``input`` of ``model.json``: lengths, or pairs of the lowest and highest.

    Raises:
        UserError: A length is not allowed.
    """
    names = ("batch", "channels", "height", "width")
    for name, length, known in zip(names, shape, allowed, strict=True):
        low, high = known if isinstance(known, list) else (known, known)
        if not low <= length <= high:
            expected = low if low == high else f"{low} to {high}"
            raise UserError(f"images have {name} {length}: this file supports {expected}")


def require_finite(images: np.ndarray) -> None:
    """Reject NaN and infinity.

    Raises:
        UserError: A value is NaN or infinite.
    """
    if not np.isfinite(images).all():
        raise UserError("images have values that are NaN or infinite: all must be finite")


def sides(name: str, value: Any) -> tuple[int, int]:
    """Read a height and a width.

    Args:
        name: Name of the option, for messages.
        value: Pair of numbers.

    Raises:
        UserError: The value is not a pair of positive whole numbers.
    """
    entries = value if isinstance(value, (tuple, list)) else ()
    numbers = [int(side) if isinstance(side, np.integer) else side for side in entries]
    if len(numbers) != 2 or not all(map(is_whole, numbers)):
        raise UserError(f"{name} {value!r}: must be a height and a width, positive whole numbers")
    return numbers[0], numbers[1]


def _describe(images: Any) -> str:
    """Describe a value that was passed as images."""
    if isinstance(images, np.ndarray):
        return f"{images.dtype} {images.shape}"
    return f"a {type(images).__name__}"
