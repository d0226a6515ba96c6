"""Images, decoded no larger than their crop needs, and crops resized by the quickest code at hand.

libjpeg can decode a JPEG at 1/2, 1/4 or 1/8 of its size, at a fraction of the cost. It is asked to where the
crop keeps `MARGIN` times the pixels of the target on both sides, so that the antialiased resizing, and not
the decoder, still decides how a pixel looks.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from timm.data.transforms import str_to_pil_interp
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

MARGIN = 1.5  # of crop to target after the decoder's scaling; what it costs: docs/training_loader.md


class UnreadableImage(Exception):
    """An image's data is damaged, cut off, or none."""


def decoded(image: Any) -> Image.Image:
    """The whole image in RGB.

    Raises:
        UnreadableImage: Its data is damaged.
    """
    try:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise UnreadableImage(str(error)) from error


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB image as uint8 ``(3, H, W)``, plane by plane, so that batches are made by plain copies."""
    planes = bytearray().join(image.tobytes("raw", band) for band in "RGB")
    return torch.frombuffer(planes, dtype=torch.uint8).view(3, image.height, image.width)


def resized_crop(
    image: Image.Image, box: tuple[int, int, int, int], size: tuple[int, int], interpolation: str
) -> Image.Image:
    """Crop and resize, as `torchvision.transforms.functional.resized_crop` does.

    Args:
        image: Opened, and better not decoded yet.
        box: ``(top, left, height, width)`` in pixels of the full image.
        size: ``(height, width)`` of the result.
        interpolation: ``bilinear`` or ``bicubic``, with antialiasing.

    Raises:
        UnreadableImage: The image's data is damaged.
    """
    top, left, height, width = box
    scale = _draft(image, min(height / size[0], width / size[1]) / MARGIN)
    if scale > 1:  # the box has fractions now, which only Pillow's slower resizing takes
        edges = (left / scale, top / scale, (left + width) / scale, (top + height) / scale)
        return decoded(image).resize(size[::-1], str_to_pil_interp(interpolation), box=edges)
    crop = _pixels(image)[top : top + height, left : left + width].contiguous()[None]  # (1, h, w, 3)
    resized = F.interpolate(crop.permute(0, 3, 1, 2), size, mode=interpolation, antialias=True)
    return Image.fromarray(resized.permute(0, 2, 3, 1)[0].numpy())


def _pixels(image: Any) -> Tensor:
    """All pixels ``(H, W, 3)``: of a JPEG the same as Pillow's, without its copies."""
    if image.format == "JPEG" and image.mode in ("RGB", "L") and image.tile:  # not decoded yet
        image.fp.seek(0)
        data = torch.frombuffer(bytearray(image.fp.read()), dtype=torch.uint8)
        with suppress(RuntimeError):  # Pillow has the last word on damaged data
            return decode_jpeg(data, ImageReadMode.RGB).permute(1, 2, 0)
    return torch.from_numpy(np.array(decoded(image)))


def _draft(image: Image.Image, largest: float) -> int:
    """Have a JPEG decoded at the smallest size that ``largest`` allows; returns by what it is divided."""
    scale = max(s for s in (1, 2, 4, 8) if s <= max(largest, 1))
    if scale > 1 and image.draft("RGB", (image.width // scale, image.height // scale)) is None:
        return 1  # no JPEG, or decoded already
    return scale
