"""Preprocessing: how a photo becomes a network's input. Training, gates and predictions share it.

A preparation is a function from a photo, in RGB, to bytes ``(H, W, 3)``; `lvt_predict.images.normalize`
follows. Needs Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.photo.resize import resize_bytes

if TYPE_CHECKING:
    from PIL import Image

CROP_PCT = 0.96  # the published classifier's
DIVISOR = 32  # the network's largest stride
CROP_MODES = ("center", "squash", "border")
IMAGENET_FILL = (124, 116, 104)  # ImageNet's mean colour
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")

Preparation = Callable[["Image.Image"], np.ndarray]


@dataclass(frozen=True)
class Crop:
    """A classifier's preparation, equal to timm's evaluation transform: resize, then keep the centre.

    Attributes:
        size: Height and width of the crop.
        crop_pct: Part of the resized photo, by its side, that the crop keeps.
        interpolation: Resampling, out of `INTERPOLATIONS`, always antialiased.
        crop_mode: ``'center'`` keeps the photo's proportions; ``'squash'`` resizes it to a rectangle;
            ``'border'`` shows the whole photo, in proportion, between borders.
        fill: Colour of the borders; `fill_of` computes it.

    Raises:
        UserError: The interpolation or the mode is unknown.
    """

    size: tuple[int, int]
    crop_pct: float = CROP_PCT
    interpolation: str = "bicubic"
    crop_mode: str = "center"
    fill: tuple[int, ...] = IMAGENET_FILL

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            allowed = ", ".join(INTERPOLATIONS)
            raise UserError(f"interpolation {self.interpolation!r}: must be one of {allowed}")
        if self.crop_mode not in CROP_MODES:
            allowed = ", ".join(CROP_MODES)
            raise UserError(f"crop_mode {self.crop_mode!r}: must be one of {allowed}")

    def __call__(self, photo: Image.Image) -> np.ndarray:
        from PIL import Image

        width, height = self._resized(photo.width, photo.height)
        resampling = Image.Resampling[self.interpolation.upper()]
        if (width, height) != photo.size:
            photo = photo.resize((width, height), resampling)
        left, top, right, bottom = self._box(width, height)
        if left >= 0 and top >= 0:
            return np.asarray(photo.crop((left, top, right, bottom)))
        shown = Image.new("RGB", self.size[::-1], self.fill)
        shown.paste(photo, (-left, -top))
        return np.asarray(shown)

    def part(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of a photo that the crop shows, in the photo's pixels: left, top, right, bottom."""
        wide, high = self._resized(width, height)
        left, top, right, bottom = self._box(wide, high)
        return left * width / wide, top * height / high, right * width / wide, bottom * height / high

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        left, top = _offset(width, self.size[1]), _offset(height, self.size[0])
        return left, top, left + self.size[1], top + self.size[0]

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height before the crop."""
        down, across = (math.floor(side / self.crop_pct) for side in self.size)
        if self.crop_mode == "squash":
            return across, down
        if self.crop_mode == "border" or down != across:
            ratio = (max if self.crop_mode == "border" else min)(height / down, width / across)
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        short, long = sorted((width, height))
        other = int(down * long / short)
        return (down, other) if width <= height else (other, down)


def fill_of(mean: Sequence[float]) -> tuple[int, ...]:
    """Return the colour of a pixel mean in 0..1: that of borders, which are zero after normalisation."""
    return tuple(round(255 * value) for value in mean)


def _offset(side: int, kept: int) -> int:
    """Return where the kept part of a side begins; negative if the side lies inside a longer part."""
    return -((kept - side) // 2) if side < kept else round((side - kept) / 2)


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
