"""Images for exported networks: only bytes become input, and only input is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.manifest import is_whole

COLOURS = 3


def normalize(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Bytes ``(B, H, W, 3)`` to float32 ``(B, 3, H, W)``.

    Raises:
        UserError: They are something else. Floats or another order would give numbers, too: wrong ones.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[3:] != (COLOURS,):
        raise UserError(f"images are {_described(images)}: they must be uint8 (batch, height, width, 3), RGB")
    if not images.size:
        raise UserError(f"images are {_described(images)}: they must not be empty")
    shift, scale = (np.asarray(value, dtype=np.float32) for value in (mean, std))
    scaled = (images.astype(np.float32) / 255 - shift) / scale
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def require_input(images: np.ndarray) -> None:
    """Refuse what no network takes.

    Raises:
        UserError: It is something else than an array float32 of four dimensions.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.float32 or images.ndim != 4:
        raise UserError(
            f"images are {_described(images)}: they must be float32 (batch, channels, height, width)"
        )


def require_size(shape: Sequence[int], allowed: Sequence[Any]) -> None:
    """Refuse images of a size that a file was not exported for.

    Args:
        shape: Theirs.
        allowed: ``input`` of ``model.json``: lengths, or the lowest and highest ones.

    Raises:
        UserError: They have another.
    """
    names = ("batch", "channels", "height", "width")
    for name, length, known in zip(names, shape, allowed, strict=True):
        low, high = known if isinstance(known, list) else (known, known)
        if not low <= length <= high:
            expected = low if low == high else f"{low} to {high}"
            raise UserError(f"images have {name} {length}: this file takes {expected}")


def require_finite(images: np.ndarray) -> None:
    """Refuse values of which a network makes nothing but such values.

    Raises:
        UserError: One is infinite or no number.
    """
    if not np.isfinite(images).all():
        raise UserError("images have values that are not finite: they must be numbers")


def sides(name: str, value: Any) -> tuple[int, int]:
    """A height and a width.

    Raises:
        UserError: It is something else.
    """
    entries = value if isinstance(value, (tuple, list)) else ()
    found = [int(side) if isinstance(side, np.integer) else side for side in entries]
    if len(found) != 2 or not all(map(is_whole, found)):
        raise UserError(f"{name} {value!r}: must be a height and a width, positive whole numbers")
    return found[0], found[1]


def _described(images: Any) -> str:
    """What was given in the place of images."""
    if isinstance(images, np.ndarray):
        return f"{images.dtype} {images.shape}"
    return f"of type {type(images).__name__}"
