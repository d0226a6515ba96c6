"""Decoding and cropping of images: a JPEG is decoded only as large as its crop needs.

libjpeg can decode a JPEG at 1/2, 1/4 or 1/8 of its size, at a fraction of the cost. We use the smallest size
at which the crop still has `MARGIN` times the pixels of the target on both sides, so that the antialiased
resizing, and not the decoder, decides how a pixel looks. Everything else is read by `lvt_predict.pictures`,
and a JPEG looks the same.
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

from lvt_predict.pictures import UPRIGHT, orientation, to_rgb, turn

MARGIN = 1.5  # its cost in pixels and time is in docs/training_loader.md
FLIPS_X, FLIPS_Y, EXCHANGES = (2, 3, 6, 7), (3, 4, 7, 8), (5, 6, 7, 8)  # EXIF orientations


class UnreadableImage(Exception):
    """Image data that is damaged, cut off or missing."""


def decoded(image: Any, *, exif: bool = True) -> Image.Image:
    """Decode the whole image, in RGB.

    Args:
        image: Opened image.
        exif: Turn it as its EXIF data say.

    Raises:
        UnreadableImage: The data is damaged.
    """
    try:
        return to_rgb(image, exif=exif)
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise UnreadableImage(str(error)) from error


def to_tensor(image: Image.Image) -> Tensor:
    """Convert an RGB image to uint8 ``(3, H, W)``, contiguous, so that collation is a plain copy."""
    planes = bytearray().join(image.tobytes("raw", band) for band in "RGB")
    return torch.frombuffer(planes, dtype=torch.uint8).view(3, image.height, image.width)


def prepare(image: Any, *, exif: bool = True) -> tuple[Image.Image, int]:
    """Decode all but a JPEG.

    Returns:
        Image, and the EXIF orientation that `resized_crop` must still respect.

    Raises:
        UnreadableImage: The data is damaged.
    """
    if image.format == "JPEG":
        return image, orientation(image) if exif else UPRIGHT
    return decoded(image, exif=exif), UPRIGHT


def upright_size(image: Image.Image, turned: int) -> tuple[int, int]:
    """Return height and width of an image after it is turned."""
    return (image.width, image.height) if turned in EXCHANGES else (image.height, image.width)


def resized_crop(
    image: Image.Image,
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    interpolation: str,
    turned: int = UPRIGHT,
) -> Image.Image:
    """Crop and resize, as `torchvision.transforms.functional.resized_crop` does with the turned image.

    Args:
        image: Image from `prepare`; a JPEG should not be decoded yet.
        box: Crop ``(top, left, height, width)`` in pixels of the full image, upright.
        size: Size ``(height, width)`` of the result.
        interpolation: Antialiased ``bilinear`` or ``bicubic``.
        turned: EXIF orientation of the image.

    Raises:
        UnreadableImage: The data is damaged.
    """
    top, left, height, width = _stored_box(box, upright_size(image, turned), turned)
    size = size[::-1] if turned in EXCHANGES else size
    scale = _draft(image, min(height / size[0], width / size[1]) / MARGIN)
    if scale > 1:  # the edges are fractions now, which only Pillow's slower resizing supports
        edges = (left / scale, top / scale, (left + width) / scale, (top + height) / scale)
        whole = decoded(image, exif=False)
        return turn(whole.resize(size[::-1], str_to_pil_interp(interpolation), box=edges), turned)
    crop = read_pixels(image)[top : top + height, left : left + width].contiguous()[None]  # (1, h, w, 3)
    resized = F.interpolate(crop.permute(0, 3, 1, 2), size, mode=interpolation, antialias=True)
    return turn(Image.fromarray(resized.permute(0, 2, 3, 1)[0].numpy()), turned)


def _stored_box(
    box: tuple[int, int, int, int], size: tuple[int, int], turned: int
) -> tuple[int, int, int, int]:
    """Find a box of the upright image, whose size is given, in the image as it is stored."""
    top, left, height, width = box
    if turned in FLIPS_Y:
        top = size[0] - top - height
    if turned in FLIPS_X:
        left = size[1] - left - width
    return (left, top, width, height) if turned in EXCHANGES else (top, left, height, width)


def read_pixels(image: Any) -> Tensor:
    """Return all pixels ``(H, W, 3)`` as they are stored; a JPEG without Pillow's copies."""
    if image.format == "JPEG" and image.mode in ("RGB", "L") and image.tile:  # not decoded yet
        image.fp.seek(0)
        data = torch.frombuffer(bytearray(image.fp.read()), dtype=torch.uint8)
        with suppress(RuntimeError):  # Pillow decides whether the data is damaged
            return decode_jpeg(data, ImageReadMode.RGB).permute(1, 2, 0)
    return torch.from_numpy(np.array(decoded(image, exif=False)))


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
