"""Shears and translations of RandAugment, several times faster than Pillow's.

They move whole rows or columns by fractions of a pixel: each pixel mixes two or four neighbours on its line,
and the weights are the same all along the line. Pillow evaluates any affine map pixel by pixel, over four or
sixteen neighbours. The results differ by at most one level of 255.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Array = np.ndarray


def shear_x(image: Image.Image, factor: float, **how: Any) -> Image.Image:
    """Move row ``y`` to the left by ``factor * y`` pixels, as Pillow shears."""
    return shift_lines(image, factor * (np.arange(image.height) + 0.5), vertical=False, **how)


def shear_y(image: Image.Image, factor: float, **how: Any) -> Image.Image:
    """Move column ``x`` up by ``factor * x`` pixels, as Pillow shears."""
    return shift_lines(image, factor * (np.arange(image.width) + 0.5), vertical=True, **how)


def translate_x(image: Image.Image, pixels: float, **how: Any) -> Image.Image:
    """Move the image to the left."""
    return shift_lines(image, np.full(image.height, pixels), vertical=False, **how)


def translate_y(image: Image.Image, pixels: float, **how: Any) -> Image.Image:
    """Move the image up."""
    return shift_lines(image, np.full(image.width, pixels), vertical=True, **how)


def translate_x_rel(image: Image.Image, share: float, **how: Any) -> Image.Image:
    """Move the image to the left by a share of its width."""
    return translate_x(image, share * image.width, **how)


def translate_y_rel(image: Image.Image, share: float, **how: Any) -> Image.Image:
    """Move the image up by a share of its height."""
    return translate_y(image, share * image.height, **how)


def shift_lines(
    image: Image.Image,
    shifts: Array,
    *,
    vertical: bool,
    resample: int | Sequence[int],
    fillcolor: tuple[int, int, int],
) -> Image.Image:
    """Shift each row or column by its own distance.

    Args:
        image: RGB image.
        shifts: Distance of each line, in pixels: output pixel ``i`` shows input pixel ``i + shift``.
        vertical: Shift columns, not rows.
        resample: Pillow's bilinear or bicubic; of several, one is drawn, as timm does.
        fillcolor: Colour of pixels from outside of the image.
    """
    if isinstance(resample, Sequence):
        resample = random.choice(resample)
    width, height = image.size
    length, lines = (height, width) if vertical else (width, height)
    step, line_step = (width, 1) if vertical else (1, width)
    pixels = np.frombuffer(image.tobytes("raw", "RGBX"), np.uint32)
    whole = np.floor(shifts)
    taps, weights = _weights(torch.from_numpy((shifts - whole).astype(np.float32))[:, None], resample)
    places = np.add.outer(whole.astype(np.int64), np.arange(taps[0], length + taps[-1]))
    np.clip(places, 0, length - 1, out=places)
    places *= step
    places += np.arange(lines)[:, None] * line_step  # (lines, length + taps - 1)
    window = torch.from_numpy(pixels.take(places).view(np.uint8)).float()  # 4 bytes a pixel
    total = weights[0] * window[:, : 4 * length]
    for start, weight in enumerate(weights[1:], start=1):
        total.addcmul_(weight, window[:, 4 * start : 4 * (start + length)])
    levels = total.numpy()
    np.clip(levels, 0, 255, out=levels)
    mixed = levels.astype(np.uint8).view(np.uint32)  # (lines, length); truncated, as Pillow does
    first = np.ceil(-0.5 - shifts).astype(np.int32)[:, None]  # a pixel is outside if its centre is
    columns = np.arange(length, dtype=np.int32)
    fill = np.frombuffer(bytes((*fillcolor, 255)), np.uint32)[0]
    mixed[(columns < first) | (columns >= first + length)] = fill
    return Image.frombytes("RGB", image.size, (mixed.T if vertical else mixed).tobytes(), "raw", "RGBX")


def _weights(t: Tensor, resample: int) -> tuple[range, Sequence[Tensor]]:
    """Return the offsets of the neighbours that are mixed, and their weights at fractions ``t``."""
    if resample == Image.Resampling.BILINEAR:
        return range(0, 2), (1 - t, t)
    u = 1 - t  # Pillow's affine maps use the cubic with a = -1; its resizing uses another
    return range(-1, 3), (-t * u**2, 1 - 2 * t**2 + t**3, 1 - 2 * u**2 + u**3, -u * t**2)
