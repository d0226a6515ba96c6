"""The photo as a network sees it, and the way back from the network's pixels to the photo's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from lvt_core.errors import UserError
from lvt_predict.images import normalize
from lvt_predict.photo.prepare import Crop, Preparation


@dataclass(frozen=True)
class NetworkInput:
    """A photo, prepared for a network.

    Attributes:
        images: Normalised input ``(1, 3, H, W)``.
        picture: RGB picture of the same pixels.
        photo_size: Width and height of the photo.
        part: Part of the photo that the network sees, in its pixels: left, top, right, bottom.
    """

    images: Tensor
    picture: Image.Image
    photo_size: tuple[int, int]
    part: tuple[float, float, float, float]

    def from_photo(self, x: int, y: int) -> tuple[float, float]:
        """Find the centre of a photo's pixel in the input, in pixels.

        Raises:
            UserError: The pixel lies outside of the photo, or of the part that the network sees.
        """
        width, height = self.photo_size
        if not (0 <= x < width and 0 <= y < height):
            raise UserError(
                f"--at {x},{y}: lies outside of the photo of {width} x {height} pixels; "
                f"pass X from 0 to {width - 1} and Y from 0 to {height - 1}"
            )
        (first_x, last_x), (first_y, last_y) = self._columns(), self._rows()
        if not (first_x <= x <= last_x and first_y <= y <= last_y):
            raise UserError(
                f"--at {x},{y}: lies outside of the crop that the classifier sees; "
                f"pass X from {first_x} to {last_x} and Y from {first_y} to {last_y}"
            )
        return self._center_of(x, y)

    def to_photo(self, x: float, y: float) -> tuple[int, int]:
        """Find the photo's pixel at a point of the input."""
        left, top, right, bottom = self.part
        columns, rows = self.picture.size
        photo_x, photo_y = left + x / columns * (right - left), top + y / rows * (bottom - top)
        return _clip(int(photo_x), *self._columns()), _clip(int(photo_y), *self._rows())

    def snap(self, x: float, y: float) -> tuple[float, float]:
        """Move a point of the input to the centre of the photo's pixel there."""
        columns, rows = self.picture.size
        x, y = self._center_of(*self.to_photo(x, y))
        return min(max(x, 0.0), columns - 0.5), min(max(y, 0.0), rows - 0.5)

    def _center_of(self, x: int, y: int) -> tuple[float, float]:
        left, top, right, bottom = self.part
        columns, rows = self.picture.size
        return (x + 0.5 - left) / (right - left) * columns, (y + 0.5 - top) / (bottom - top) * rows

    def _columns(self) -> tuple[int, int]:
        """Return the first and the last column of the photo whose centre the network sees."""
        return _whole_pixels(self.part[0], self.part[2], self.photo_size[0])

    def _rows(self) -> tuple[int, int]:
        return _whole_pixels(self.part[1], self.part[3], self.photo_size[1])


def prepare(
    photo: Image.Image, preparation: Preparation, mean: Sequence[float], std: Sequence[float]
) -> NetworkInput:
    """Prepare a photo as `lvt predict` does.

    Args:
        photo: Photo in RGB.
        preparation: Preparation of the network's predictor.
        mean: Pixel mean in 0..1.
        std: Pixel deviation in 0..1.
    """
    pixels = preparation(photo)
    part = (0.0, 0.0, float(photo.width), float(photo.height))
    if isinstance(preparation, Crop):
        part = preparation.part(photo.width, photo.height)
    images = torch.from_numpy(normalize(pixels[None], mean, std))
    return NetworkInput(images, Image.fromarray(pixels), photo.size, part)


def _whole_pixels(first: float, last: float, side: int) -> tuple[int, int]:
    """Return the first and the last pixel whose centre lies in a part of a side; borders have no pixels."""
    return max(math.ceil(first - 0.5), 0), min(math.ceil(last - 0.5), side) - 1


def _clip(value: int, first: int, last: int) -> int:
    return max(first, min(value, last))
