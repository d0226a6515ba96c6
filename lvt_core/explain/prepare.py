"""The photo as a network sees it, and the way back from the network's pixels to the photo's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from lvt_core.errors import UserError

CROP_PCT = 0.96  # the published classifier's
CLASSIFIER_SIZE, DENSE_SIZE = (3, 224, 224), (3, 512, 512)
LONGEST, MULTIPLE = 2048, 32  # pixels of a dense network's input
CENTER = "center"


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
        return math.ceil(self.part[0] - 0.5), math.ceil(self.part[2] - 0.5) - 1

    def _rows(self) -> tuple[int, int]:
        return math.ceil(self.part[1] - 0.5), math.ceil(self.part[3] - 0.5) - 1


def prepare(photo: Image.Image, pictures: Mapping[str, Any], *, dense: bool) -> NetworkInput:
    """Resize, crop and normalise a photo as in validation.

    A classifier sees the crop in the centre. A dense network sees the whole photo, whose shorter side gets
    the network's, and whose sides are multiples of 32 pixels.

    Args:
        photo: Photo in RGB.
        pictures: Reading of a picture in validation, the checkpoint's `Facts.pictures`.
        dense: The network predicts a class of each pixel.
    """
    if dense:
        size = _dense_size(photo, min(pictures.get("input_size", DENSE_SIZE)[1:]))
        part = (0.0, 0.0, float(photo.width), float(photo.height))
    else:
        size = tuple(pictures.get("input_size", CLASSIFIER_SIZE)[1:])
        part = _center_part(photo, size, pictures.get("crop_pct", CROP_PCT))
    resample = _resampling(pictures.get("interpolation", "bilinear" if dense else "bicubic"))
    picture = photo.resize((size[1], size[0]), resample, box=part)
    mean = torch.tensor(pictures.get("mean", IMAGENET_DEFAULT_MEAN)).view(-1, 1, 1)
    std = torch.tensor(pictures.get("std", IMAGENET_DEFAULT_STD)).view(-1, 1, 1)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255  # (3, H, W)
    return NetworkInput(((pixels - mean) / std)[None], picture, photo.size, part)


def _dense_size(photo: Image.Image, side: int) -> tuple[int, int]:
    scale = min(side / min(photo.size), LONGEST / max(photo.size))
    height, width = (
        max(MULTIPLE, round(scale * n / MULTIPLE) * MULTIPLE) for n in (photo.height, photo.width)
    )
    return height, width


def _center_part(
    photo: Image.Image, size: tuple[int, ...], crop_pct: float
) -> tuple[float, float, float, float]:
    """Return the part of a photo that becomes the crop."""
    scale = max(size[0] / photo.height, size[1] / photo.width) / crop_pct
    width, height = size[1] / scale, size[0] / scale
    left, top = (photo.width - width) / 2, (photo.height - height) / 2
    return left, top, left + width, top + height


def _resampling(name: str) -> Image.Resampling:
    """Return Pillow's resampling of a name; bicubic for a name that Pillow does not have."""
    return getattr(Image.Resampling, name.upper(), Image.Resampling.BICUBIC)


def _clip(value: int, first: int, last: int) -> int:
    return max(first, min(value, last))
