"""Preprocessing: how a photo becomes a network's input. Training, gates and predictions share it.

A preparation is a function from a photo, in RGB, to bytes ``(H, W, 3)``; `lvt_predict.images.normalize`
follows. Needs Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.photo.resize import resize_bytes

if TYPE_CHECKING:
    from PIL import Image

CROP_PCT = 0.96  # the published classifier's
DIVISOR = 32  # the network's largest stride
CROP_MODES = ("center", "squash")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")

Preparation = Callable[["Image.Image"], np.ndarray]


@dataclass(frozen=True)
class Crop:
    """A classifier's preparation, equal to timm's evaluation transform: resize, then keep the centre.

    Attributes:
        size: Height and width of the crop.
        crop_pct: Part of the resized photo, by its side, that the crop keeps.
        interpolation: Resampling, out of `INTERPOLATIONS`, always antialiased.
        crop_mode: ``'center'`` keeps the photo's proportions; ``'squash'`` resizes it to a rectangle.

    Raises:
        UserError: The interpolation or the mode is unknown.
    """

    size: tuple[int, int]
    crop_pct: float = CROP_PCT
    interpolation: str = "bicubic"
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            allowed = ", ".join(INTERPOLATIONS)
            raise UserError(f"interpolation {self.interpolation!r}: must be one of {allowed}")
        if self.crop_mode not in CROP_MODES:
            allowed = " or ".join(CROP_MODES)
            raise UserError(f"crop_mode {self.crop_mode!r}: is not supported here; must be {allowed}")

    def __call__(self, photo: Image.Image) -> np.ndarray:
        from PIL import Image

        width, height = self._resized(photo.width, photo.height)
        resampling = Image.Resampling[self.interpolation.upper()]
        if (width, height) != photo.size:
            photo = photo.resize((width, height), resampling)
        return np.asarray(photo.crop(self._box(width, height)))

    def part(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of a photo that the crop shows, in the photo's pixels: left, top, right, bottom."""
        wide, high = self._resized(width, height)
        left, top, right, bottom = self._box(wide, high)
        return left * width / wide, top * height / high, right * width / wide, bottom * height / high

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        top, left = round((height - self.size[0]) / 2), round((width - self.size[1]) / 2)
        return left, top, left + self.size[1], top + self.size[0]

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height before the crop."""
        down, across = (math.floor(side / self.crop_pct) for side in self.size)
        if self.crop_mode == "squash":
            return across, down
        if down != across:
            ratio = min(height / down, width / across)
            return round(width / ratio), round(height / ratio)
        short, long = sorted((width, height))
        other = int(down * long / short)
        return (down, other) if width <= height else (other, down)


@dataclass(frozen=True)
class Stretch:
    """The preparation of a segmentor with one input size: an antialiased bilinear resize.

    Attributes:
        size: Height and width.
    """

    size: tuple[int, int]

    def __call__(self, photo: Image.Image) -> np.ndarray:
        from PIL import Image

        return np.asarray(photo.resize(self.size[::-1], Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Aligned:
    """The preparation of a segmentor of any size, equal to ``AlignedResize`` of its recipe.

    The photo is resized in proportion, and then stretched to multiples of `DIVISOR`.

    Attributes:
        long_side: Longest allowed side.
        short_side: Longest allowed short side.
    """

    long_side: int = 2048
    short_side: int = 512

    def __call__(self, photo: Image.Image) -> np.ndarray:
        pixels = np.asarray(photo)
        sides = fitting(pixels.shape[:2], self.long_side, self.short_side)
        pixels = resize_bytes(pixels, sides)
        return resize_bytes(pixels, (_up(sides[0]), _up(sides[1])))


@dataclass(frozen=True)
class Proportional:
    """The preparation of a panoptic network, equal to mmdetection's ``Resize``: sides keep their ratio.

    Attributes:
        long_side: Longest allowed side.
        short_side: Longest allowed short side.
    """

    long_side: int = 1333
    short_side: int = 800

    def __call__(self, photo: Image.Image) -> np.ndarray:
        pixels = np.asarray(photo)
        return resize_bytes(pixels, fitting(pixels.shape[:2], self.long_side, self.short_side))


@dataclass(frozen=True)
class Inside:
    """The preparation of a panoptic network with one input size: as large as fits, in proportion.

    Attributes:
        size: Height and width of the input.
    """

    size: tuple[int, int]

    def __call__(self, photo: Image.Image) -> np.ndarray:
        pixels = np.asarray(photo)
        height, width = pixels.shape[:2]
        ratio = min(self.size[0] / height, self.size[1] / width)
        sides = (min(round(height * ratio), self.size[0]), min(round(width * ratio), self.size[1]))
        return resize_bytes(pixels, (max(sides[0], 1), max(sides[1], 1)))


@dataclass(frozen=True)
class Unchanged:
    """The preparation of a network that was trained on pictures of their own size."""

    def __call__(self, photo: Image.Image) -> np.ndarray:
        return np.asarray(photo)


def fitting(size: tuple[int, int], long_side: int, short_side: int) -> tuple[int, int]:
    """Return the largest height and width in proportion within the allowed sides, as mmcv rounds them."""
    height, width = size
    ratio = min(long_side / max(height, width), short_side / min(height, width))
    return max(1, int(height * ratio + 0.5)), max(1, int(width * ratio + 0.5))


def pad(pixels: np.ndarray, size: tuple[int, int] | None, value: float) -> np.ndarray:
    """Pad normalised images ``(B, C, H, W)`` to the right and below.

    Args:
        pixels: Images.
        size: Height and width; ``None`` for the next multiples of `DIVISOR`.
        value: Value of the padding.
    """
    height, width = size or (_up(pixels.shape[2]), _up(pixels.shape[3]))
    padded = np.full((*pixels.shape[:2], height, width), value, np.float32)
    padded[:, :, : pixels.shape[2], : pixels.shape[3]] = pixels
    return padded


def _up(side: int) -> int:
    return -(-side // DIVISOR) * DIVISOR
