"""The only reader of pictures, so that training, checks and prediction see the same pixels.

Needs Pillow. A picture is read as a viewer shows it: turned as its EXIF data say, palettes and CMYK as
colours, 16-bit values by their high byte, the first frame of an animation. An alpha channel is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.reading import open_regular

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
EXIF_ORIENTATION = 274
UPRIGHT = 1
MOST_PIXELS = 178_956_970  # Pillow's limit: larger ones might be made to fill the memory
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")


def read_picture(source: str | Path | BinaryIO, *, exif: bool = True) -> Image.Image:
    """Read a picture in RGB.

    Args:
        source: Path, or an open binary file.
        exif: Turn the picture as its EXIF data say; a TIFF file is always turned.

    Raises:
        UserError: The file cannot be read, is not a picture, or has values of an unknown range.
    """
    from PIL import Image

    # Pillow maps some files into memory by their path, and then misreads a TIFF that is turned by 90 degrees.
    with readable(source), opened(source) as file, Image.open(file) as image:
        return to_rgb(image, exif=exif)


@contextmanager
def opened(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a path; leave an open file as it is."""
    if not isinstance(source, (str, Path)):
        yield source
        return
    with open_regular(source) as file:
        yield file


@contextmanager
def opened_map(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture whose values are numbers of classes or segments, as they are stored.

    Raises:
        UserError: The file cannot be read, or says that a viewer should turn it.
    """
    from PIL import Image

    with readable(path), opened(path) as file, Image.open(file) as image:
        image.load()
        if (number := orientation(image)) != UPRIGHT:
            raise UserError(
                f"has the EXIF orientation {number}; a map is read as it is stored: remove the orientation"
            )
        yield image


@contextmanager
def readable(source: object) -> Iterator[None]:
    """Turn the many exceptions of damaged pictures into one sentence that names the file.

    Raises:
        UserError: The block raised an exception.
    """
    name = source if isinstance(source, (str, Path)) else getattr(source, "name", source)
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such picture") from error
    except Exception as error:  # damaged bytes make Pillow's decoders raise nearly anything
        if type(error).__name__ == "DecompressionBombError":
            most = f"{MOST_PIXELS:,} pixels"
            raise UserError(f"{name}: has more than {most}; cut it into smaller ones") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name}: cannot be read as a picture ({reason})") from error


def to_rgb(image: Image.Image, *, exif: bool = True) -> Image.Image:
    """Decode an opened picture to upright RGB.

    Raises:
        UserError: The values have an unknown range (floating point, 32-bit integers).
    """
    image.load()
    turned = orientation(image) if exif else UPRIGHT
    if image.mode != "RGB":
        image = _eight_bits(image).convert("RGB")
    return turn(image, turned)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) where it is missing or wrong."""
    try:
        number = image.getexif().get(EXIF_ORIENTATION, UPRIGHT)
    except Exception:  # damaged EXIF data do not make a picture unreadable
        return UPRIGHT
    return number if number in range(1, 9) else UPRIGHT


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a decoded picture upright."""
    from PIL.Image import Transpose

    steps = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    if orientation not in steps:
        return image
    turned = image.transpose(steps[orientation])
    turned.info = {}  # the orientation does not hold any more: nobody must turn the picture again
    return turned


def _eight_bits(image: Image.Image) -> Image.Image:
    """Reduce 16-bit values to their high byte, as viewers and OpenCV do."""
    from PIL import Image as images

    if image.mode == "F":
        raise UserError("has floating-point values, whose range is unknown; convert it to 8 or 16 bits")
    if image.mode == "I":
        low, high = _extrema(image)
        if low < 0 or high > 0xFFFF:
            raise UserError(f"has values from {low} to {high}; convert it to 8 or 16 bits")
    elif image.mode not in SIXTEEN_BITS:
        return image
    return images.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))


def _extrema(image: Image.Image) -> tuple[int, int]:
    values: Any = np.asarray(image)
    return int(values.min()), int(values.max())
