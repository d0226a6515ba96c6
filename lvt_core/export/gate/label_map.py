"""A segmentation's truth, read with every value in it checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lvt_core.errors import UserError

IGNORED = 255
MAX_CLASSES = IGNORED - 1  # numbered from 1 on in a file


def read_label_map(
    path: Path, *, size: tuple[int, int], num_classes: int, first_class: int = 1
) -> np.ndarray:
    """Each pixel's class from 0 on, or `IGNORED`, ``(H, W)`` uint8.

    Args:
        path: A picture of one channel: a class's number is its position plus `first_class`; `IGNORED`, and
            0 if that is no class, do not count.
        size: Height and width of its image.
        num_classes: Of the network.
        first_class: Number of the first one, 0 or 1.

    Raises:
        UserError: It cannot be read, is not of the image's size, or has a value that is no class.
    """
    try:
        with Image.open(path) as opened:
            numbers = np.asarray(opened) + 0  # a picture of bits has 0 and 1
    except (OSError, SyntaxError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}") from error
    if numbers.ndim != 2:
        raise UserError(
            f"{path}: has {numbers.shape[-1]} channels; a label map has one, of the classes' numbers"
        )
    if numbers.shape != size:
        raise UserError(f"{path}: has height and width {numbers.shape}, but its image has {size}")
    last = first_class + num_classes - 1
    not_judged = (0, IGNORED) if first_class else (IGNORED,)
    wrong = numbers[~np.isin(numbers, (*not_judged, *range(first_class, last + 1)))]
    if wrong.size:
        raise UserError(
            f"{path}: has the value {wrong.max()}; allowed are the network's classes, {first_class} to "
            f"{last}, and {' and '.join(map(str, not_judged))} for pixels that do not count"
        )
    return np.where(np.isin(numbers, not_judged), IGNORED, numbers - first_class).astype(np.uint8)
