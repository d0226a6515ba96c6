"""RandAugment's shears and translations, several times faster than Pillow's.

They move whole rows, or whole columns, by fractions of a pixel: each pixel mixes two or four neighbours on
its own line, with the same weights all along it. Pillow evaluates every affine map pixel by pixel, over four
or sixteen neighbours. The results differ by one level of 255 at most.
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
    """Let row ``y`` show what was ``factor * y`` pixels to its right, as Pillow shears."""
    return shift_lines(image, factor * (np.arange(image.height) + 0.5), vertical=False, **how)


def shear_y(image: Image.Image, factor: float, **how: Any) -> Image.Image:
    """Let column ``x`` show what was ``factor * x`` pixels below, as Pillow shears."""
    return shift_lines(image, factor * (np.arange(image.width) + 0.5), vertical=True, **how)


def translate_x(image: Image.Image, pixels: float, **how: Any) -> Image.Image:
    """Show what was so many pixels to the right."""
    return shift_lines(image, np.full(image.height, pixels), vertical=False, **how)


def translate_y(image: Image.Image, pixels: float, **how: Any) -> Image.Image:
    """Show what was so many pixels below."""
    return shift_lines(image, np.full(image.width, pixels), vertical=True, **how)


def translate_x_rel(image: Image.Image, share: float, **how: Any) -> Image.Image:
    """`translate_x` by a share of the width."""
    return translate_x(image, share * image.width, **how)


def translate_y_rel(image: Image.Image, share: float, **how: Any) -> Image.Image:
    """`translate_y` by a share of the height."""
    return translate_y(image, share * image.height, **how)


def shift_lines(
    image: Image.Image,
    shifts: Array,
    *,
    vertical: bool,
    resample: int | Sequence[int],
    fillcolor: tuple[int, int, int],
) -> Image.Image:
    """Let each line take its pixels from a distance of its own.

    Args:
        image: RGB.
        shifts: Distance of each row, or column, in pixels: output pixel ``i`` shows what was at
            ``i + shift``.
        vertical: Shift columns, not rows.
        resample: Pillow's bilinear or bicubic, or several to draw one from, as timm does.
        fillcolor: Of pixels from outside the image.
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
    # Cut off and not rounded, as Pillow does.
    mixed = levels.astype(np.uint8).view(np.uint32)  # (lines, length)
    first = np.ceil(-0.5 - shifts).astype(np.int32)[:, None]  # from outside come those whose centre does
    columns = np.arange(length, dtype=np.int32)
    fill = np.frombuffer(bytes((*fillcolor, 255)), np.uint32)[0]
    mixed[(columns < first) | (columns >= first + length)] = fill
    return Image.frombytes("RGB", image.size, (mixed.T if vertical else mixed).tobytes(), "raw", "RGBX")


def _weights(t: Tensor, resample: int) -> tuple[range, Sequence[Tensor]]:
    """Neighbours that are mixed, and the weight of each at fractions ``t``."""
    if resample == Image.Resampling.BILINEAR:
        return range(0, 2), (1 - t, t)
    u = 1 - t  # Pillow's cubic of a = -1, which its resizing does not use
    return range(-1, 3), (-t * u**2, 1 - 2 * t**2 + t**3, 1 - 2 * u**2 + u**3, -u * t**2)
