"""Decoding and cropping of images: a JPEG is decoded only as large as its crop needs.

libjpeg can decode a JPEG at 1/2, 1/4 or 1/8 of its size, at a fraction of the cost. We use the smallest size
at which the crop still has `MARGIN` times the pixels of the target on both sides, so that the antialiased
resizing, and not the decoder, decides how a pixel looks.
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

MARGIN = 1.5  # its cost in pixels and time is in docs/training_loader.md


class UnreadableImage(Exception):
    """Image data that is damaged, cut off or missing."""


def decoded(image: Any) -> Image.Image:
    """Decode the whole image, in RGB.

    Raises:
        UnreadableImage: The data is damaged.
    """
    try:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise UnreadableImage(str(error)) from error


def to_tensor(image: Image.Image) -> Tensor:
    """Convert an RGB image to uint8 ``(3, H, W)``, contiguous, so that collation is a plain copy."""
    planes = bytearray().join(image.tobytes("raw", band) for band in "RGB")
    return torch.frombuffer(planes, dtype=torch.uint8).view(3, image.height, image.width)


def resized_crop(
    image: Image.Image, box: tuple[int, int, int, int], size: tuple[int, int], interpolation: str
) -> Image.Image:
    """Crop and resize, as `torchvision.transforms.functional.resized_crop` does.

    Args:
        image: Opened image; a JPEG should not be decoded yet.
        box: Crop ``(top, left, height, width)`` in pixels of the full image.
        size: Size ``(height, width)`` of the result.
        interpolation: Antialiased ``bilinear`` or ``bicubic``.

    Raises:
        UnreadableImage: The data is damaged.
    """
    top, left, height, width = box
    scale = _draft(image, min(height / size[0], width / size[1]) / MARGIN)
    if scale > 1:  # the edges are fractions now, which only Pillow's slower resizing supports
        edges = (left / scale, top / scale, (left + width) / scale, (top + height) / scale)
        return decoded(image).resize(size[::-1], str_to_pil_interp(interpolation), box=edges)
    crop = read_pixels(image)[top : top + height, left : left + width].contiguous()[None]  # (1, h, w, 3)
    resized = F.interpolate(crop.permute(0, 3, 1, 2), size, mode=interpolation, antialias=True)
    return Image.fromarray(resized.permute(0, 2, 3, 1)[0].numpy())


def read_pixels(image: Any) -> Tensor:
    """Return all pixels ``(H, W, 3)``, as Pillow decodes them; a JPEG without Pillow's copies."""
    if image.format == "JPEG" and image.mode in ("RGB", "L") and image.tile:  # not decoded yet
        image.fp.seek(0)
        data = torch.frombuffer(bytearray(image.fp.read()), dtype=torch.uint8)
        with suppress(RuntimeError):  # Pillow decides whether the data is damaged
            return decode_jpeg(data, ImageReadMode.RGB).permute(1, 2, 0)
    return torch.from_numpy(np.array(decoded(image)))


def _draft(image: Image.Image, largest: float) -> int:
    """Choose the size at which a JPEG is decoded; return by how much its sides are divided.

    Args:
        image: Opened image.
        largest: Largest divisor that leaves enough pixels.
    """
    scale = max(s for s in (1, 2, 4, 8) if s <= max(largest, 1))
    if scale > 1 and image.draft("RGB", (image.width // scale, image.height // scale)) is None:
        return 1  # not a JPEG, or already decoded
    return scale
