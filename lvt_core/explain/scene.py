"""One photo in one network: the prediction, the chosen point, and the way from maps to the photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lvt_core.errors import UserError
from lvt_core.explain.drawing import Point, make_canvas
from lvt_core.explain.prepare import NetworkInput
from lvt_core.explain.walk import Network, Place, local_logits, outputs_of, walk
from lvt_core.segformer import SegFormer

STRIDES = (4, 8, 16, 32)  # stages' maps, in pixels of the input


@dataclass(frozen=True)
class Scene:
    """One photo in one network.

    Attributes:
        model: Network, in evaluation mode.
        seen: Input of the network.
        names: Name of each class.
        palette: Colour of each class.
        inputs: Input of the mixers at the drawn places.
        probabilities: Probabilities of the classes at each place, ``(K, h, w)``.
        prediction: Name and probability of a classifier's class of the photo; ``None`` for a SegFormer.
        at: Chosen point, x and y in pixels of the input.
        canvas: Input as the page shows it.
    """

    model: Network
    seen: NetworkInput
    names: Sequence[str]
    palette: Sequence[Sequence[int]]
    inputs: dict[Place, Tensor]
    probabilities: Tensor
    prediction: tuple[str, float] | None
    at: tuple[float, float]
    canvas: Image.Image

    @property
    def local_stride(self) -> int:
        """Pixels of the input per place of the local prediction."""
        return _local_stride(self.model)

    @property
    def point(self) -> Point:
        """Chosen point, in shares of width and height."""
        width, height = self.seen.picture.size
        return self.at[0] / width, self.at[1] / height

    def extent(self, cell: int) -> tuple[float, float]:
        """Return the height and width of the input in cells of some pixels."""
        width, height = self.seen.picture.size
        return height / cell, width / cell

    def cell_at(self, cell: int) -> tuple[int, int]:
        """Return the row and column of the cell that contains the point."""
        return int(self.at[1] // cell), int(self.at[0] // cell)

    def photo_point_of(self, values: np.ndarray, cell: int) -> str:
        """Name the photo's pixel at the centre of the largest value of a map, for readers."""
        row, column = np.unravel_index(values.argmax(), values.shape)
        x, y = self.seen.to_photo(*_center(int(row), int(column), cell, self.seen))
        return f"{x},{y}"


def look(
    model: Network,
    seen: NetworkInput,
    *,
    at: tuple[int, int] | None,
    places: Sequence[Place],
    names: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> Scene:
    """Run the network on a photo, and choose the point.

    Args:
        model: Network, in evaluation mode.
        seen: Input of the network.
        at: Point in the photo's pixels; ``None`` for the place whose class is the most certain.
        places: Mixers whose input is kept.
        names: Name of each class.
        palette: Colour of each class.

    Raises:
        UserError: The point lies outside, or the network's outputs are not finite.
    """
    given = None if at is None else seen.from_photo(*at)  # before the work
    walked = walk(model.backbone, seen.images, keep=places)
    probabilities = local_logits(model, walked.maps)[0].softmax(dim=0)  # (K, h, w)
    if not torch.isfinite(probabilities).all():
        raise UserError("--with: the network's outputs have NaN or infinite values; pass another checkpoint")
    prediction = None
    if not isinstance(model, SegFormer):
        chances = outputs_of(model, walked.maps)[0].softmax(dim=0)
        prediction = names[int(chances.argmax())], float(chances.max())
    return Scene(
        model,
        seen,
        names,
        palette,
        walked.inputs,
        probabilities,
        prediction,
        given or _most_certain(probabilities, _local_stride(model), seen),
        make_canvas(seen.picture),
    )


def _local_stride(model: Network) -> int:
    return STRIDES[0] if isinstance(model, SegFormer) else STRIDES[-1]


def _most_certain(probabilities: Tensor, stride: int, seen: NetworkInput) -> tuple[float, float]:
    largest = probabilities.amax(dim=0)  # (h, w)
    row, column = divmod(int(largest.argmax()), largest.shape[1])
    return seen.snap(*_center(row, column, stride, seen))


def _center(row: int, column: int, cell: int, seen: NetworkInput) -> tuple[float, float]:
    """Return the centre of a cell in the input, as far as it lies in it."""
    width, height = seen.picture.size
    right, bottom = min((column + 1) * cell, width), min((row + 1) * cell, height)
    return (column * cell + right) / 2, (row * cell + bottom) / 2
