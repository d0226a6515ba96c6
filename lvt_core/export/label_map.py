"""A segmentation's truth, read with every value in it checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lvt_core.errors import UserError

IGNORED = 255
MAX_CLASSES = IGNORED - 1  # numbered from 1 on in a file


def read_label_map(path: Path, *, size: tuple[int, int], num_classes: int) -> np.ndarray:
    """Each pixel's class from 0 on, or `IGNORED`, ``(H, W)`` uint8.

    Args:
        path: A picture of one channel: a class's number is one more than in the network, 0 and 255 do not
            count.
        size: Height and width of its image.
        num_classes: Of the network.

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
    wrong = numbers[(numbers != IGNORED) & ~np.isin(numbers, np.arange(num_classes + 1))]
    if wrong.size:
        raise UserError(
            f"{path}: has the value {wrong.max()}; allowed are the network's classes, 1 to {num_classes}, "
            f"and 0 and {IGNORED} for pixels that do not count"
        )
    return np.where((numbers == 0) | (numbers == IGNORED), IGNORED, numbers - 1).astype(np.uint8)
