"""Label maps: a picture whose values are classes, read with every value checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvt_core.errors import UserError
from lvt_predict.pictures import opened_map

IGNORED = 255
MAX_CLASSES = IGNORED - 1  # numbered from 1 in a file


def read_label_map(path: Path, *, size: tuple[int, int], meaning: MaskValues) -> np.ndarray:
    """Read the class of each pixel, from 0, or `IGNORED`: ``(H, W)`` uint8.

    Args:
        path: Picture with one channel.
        size: Height and width of the image that the map belongs to.
        meaning: Values of the classes.

    Raises:
        UserError: The map cannot be read, has another size than its image, or a value that is not a class.
    """
    values = read_values(path)
    if values.shape != size:
        raise UserError(f"{path}: has height and width {values.shape}, but its image has {size}")
    return to_classes(values, path=path, meaning=meaning)


def read_values(path: Path) -> np.ndarray:
    """Read the values of a label map, ``(H, W)``.

    Raises:
        UserError: The map cannot be read, or has several channels.
    """
    with opened_map(path) as opened:
        values = np.asarray(opened) + 0  # makes 0 and 1 of a picture of bits
    if values.ndim != 2:
        raise UserError(
            f"{path}: has {values.shape[-1]} channels; a label map has one, with the numbers of classes"
        )
    return values


@dataclass(frozen=True)
class MaskValues:
    """Meaning of the values of label maps.

    Attributes:
        classes: Value of each class.
        ignored: Values that do not count.
    """

    classes: tuple[int, ...]
    ignored: tuple[int, ...]

    @classmethod
    def counted(cls, num_classes: int, first_class: int = 1) -> MaskValues:
        """Return classes numbered from `first_class`, 0 or 1; 255 does not count, nor does 0 before 1."""
        ignored = (0, IGNORED) if first_class else (IGNORED,)
        return cls(tuple(range(first_class, first_class + num_classes)), ignored)

    @classmethod
    def listed(cls, values: Sequence[int]) -> MaskValues:
        """Name the value of each class; 255 does not count unless it is one of them."""
        return cls(tuple(values), () if IGNORED in values else (IGNORED,))

    def __str__(self) -> str:
        first, last = self.classes[0], self.classes[-1]
        if self.classes == tuple(range(first, last + 1)):
            text = f"{first} to {last}"
        else:
            text = ", ".join(map(str, self.classes))
        ignored = " and ".join(map(str, self.ignored))
        return f"the classes, {text}" + (f", and {ignored} for pixels that do not count" if ignored else "")


def to_classes(values: np.ndarray, *, path: Path, meaning: MaskValues) -> np.ndarray:
    """Turn the values of a label map into classes from 0, or `IGNORED`: uint8, same shape.

    Args:
        values: Values, as `read_values` returns them.
        path: File of the map, for messages.
        meaning: Values of the classes.

    Raises:
        UserError: A value is not a class.
    """
    wrong = values[~np.isin(values, (*meaning.classes, *meaning.ignored))]
    if wrong.size:
        raise UserError(f"{path}: has the value {wrong.max()}; allowed are {meaning}")
    table = np.full(max(*meaning.classes, IGNORED) + 1, IGNORED, np.uint8)
    table[list(meaning.classes)] = range(len(meaning.classes))
    return table[values.astype(np.intp)]
