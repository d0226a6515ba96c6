"""Label maps: a picture whose values are classes, read with every value checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lvt_core.errors import UserError
from lvt_predict.pictures import readable

IGNORED = 255
MAX_CLASSES = IGNORED - 1  # numbered from 1 in a file


def read_label_map(
    path: Path, *, size: tuple[int, int], num_classes: int, first_class: int = 1
) -> np.ndarray:
    """Read the class of each pixel, from 0, or `IGNORED`: ``(H, W)`` uint8.

    Args:
        path: Picture with one channel; a class's value is its position plus `first_class`. `IGNORED` does not
            count, nor does 0 if classes begin at 1.
        size: Height and width of the image that the map belongs to.
        num_classes: Number of classes.
        first_class: Value of the first class, 0 or 1.

    Raises:
        UserError: The map cannot be read, has another size than its image, or a value that is not a class.
    """
    values = read_values(path)
    if values.shape != size:
        raise UserError(f"{path}: has height and width {values.shape}, but its image has {size}")
    return to_classes(values, path=path, num_classes=num_classes, first_class=first_class)


def read_values(path: Path) -> np.ndarray:
    """Read the values of a label map, ``(H, W)``.

    Raises:
        UserError: The map cannot be read, or has several channels.
    """
    with readable(path), Image.open(path) as opened:
        values = np.asarray(opened) + 0  # makes 0 and 1 of a picture of bits
    if values.ndim != 2:
        raise UserError(
            f"{path}: has {values.shape[-1]} channels; a label map has one, with the numbers of classes"
        )
    return values


def to_classes(values: np.ndarray, *, path: Path, num_classes: int, first_class: int = 1) -> np.ndarray:
    """Turn the values of a label map into classes from 0, or `IGNORED`: uint8, same shape.

    Args:
        values: Values, as `read_values` returns them.
        path: File of the map, for messages.
        num_classes: Number of classes.
        first_class: Value of the first class, 0 or 1.

    Raises:
        UserError: A value is not a class.
    """
    last = first_class + num_classes - 1
    not_counted = (0, IGNORED) if first_class else (IGNORED,)
    wrong = values[~np.isin(values, (*not_counted, *range(first_class, last + 1)))]
    if wrong.size:
        raise UserError(
            f"{path}: has the value {wrong.max()}; allowed are the classes, {first_class} to {last}, and "
            f"{' and '.join(map(str, not_counted))} for pixels that do not count"
        )
    return np.where(np.isin(values, not_counted), IGNORED, values - first_class).astype(np.uint8)
