"""Pictures of weights: heat maps over a photo, the weights of a window, and maps of classes."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

# Colours from the smallest value to the largest. Brightness rises, too, for readers who see no colours.
SCALE = ((8, 6, 30), (80, 18, 123), (182, 54, 121), (251, 136, 97), (252, 253, 191))
VEIL = 0.6  # how much of a value's colour lies over the photo
LONG_SIDE = 448  # of a picture, in pixels
CELL, GAP = 24, 8  # pixels of a window's picture
BACKGROUND, OWN = (128, 128, 128), (255, 255, 255)
ZOOMED_WINDOWS = 3  # side of the zoomed part, in windows

Point = tuple[float, float]


def make_canvas(picture: Image.Image) -> Image.Image:
    """Resize a picture to the size in which the page shows it."""
    scale = LONG_SIDE / max(picture.size)
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def colors_of(values: np.ndarray) -> np.ndarray:
    """Turn values from 0 to 1, ``(...)``, into colours, uint8 ``(..., 3)``."""
    positions = np.linspace(0, 1, len(SCALE))
    channels = [np.interp(values, positions, [color[i] for color in SCALE]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def heat_map(
    canvas: Image.Image, values: np.ndarray, *, limits: tuple[float, float], extent: tuple[float, float]
) -> Image.Image:
    """Lay values over a picture.

    Args:
        canvas: Picture.
        values: Values of cells, ``(h, w)``; cells that the picture has beyond them are empty.
        limits: Values of the darkest and of the brightest colour.
        extent: Height and width of the picture in cells.
    """
    low, high = limits
    share = (values - low) / max(high - low, 1e-12)
    colors = colors_of(share.clip(0, 1))
    grey = canvas.convert("L").convert("RGB")
    return Image.blend(grey, spread_cells(canvas, colors, extent=extent), VEIL)


def class_map(canvas: Image.Image, colors: np.ndarray, *, extent: tuple[float, float]) -> Image.Image:
    """Lay the colours of cells, uint8 ``(h, w, 3)``, over a picture."""
    return Image.blend(canvas, spread_cells(canvas, colors, extent=extent), VEIL)


def spread_cells(canvas: Image.Image, colors: np.ndarray, *, extent: tuple[float, float]) -> Image.Image:
    """Enlarge the colours of cells ``(h, w, 3)`` to a canvas that is ``extent`` cells high and wide."""
    missing = [max(0, math.ceil(side) - n) for side, n in zip(extent, colors.shape, strict=False)]
    padded = np.pad(colors, ((0, missing[0]), (0, missing[1]), (0, 0)))
    box = (0.0, 0.0, extent[1], extent[0])
    return Image.fromarray(padded).resize(canvas.size, Image.Resampling.NEAREST, box=box)


def mark(picture: Image.Image, point: Point) -> Image.Image:
    """Draw a ring around a point, given in shares of width and height; return a copy."""
    marked = picture.copy()
    x, y = point[0] * picture.width, point[1] * picture.height
    pen = ImageDraw.Draw(marked)
    pen.ellipse((x - 9, y - 9, x + 9, y + 9), outline="black", width=6)
    pen.ellipse((x - 8, y - 8, x + 8, y + 8), outline="white", width=3)
    return marked


def window_picture(weights: np.ndarray, *, largest: float) -> Image.Image:
    """Draw the weights of a window: nine squares for the query taps, with nine cells for the key taps each.

    A white frame marks the cell of the query's own tap.

    Args:
        weights: Weights ``(9, 9)``: query, key.
        largest: Value of the brightest colour.
    """
    side = 3 * CELL
    picture = Image.new("RGB", (3 * side + 4 * GAP,) * 2, BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for query, colors in enumerate(colors_of((weights / largest).clip(0, 1))):
        top, left = (GAP + n * (side + GAP) for n in divmod(query, 3))
        for key, color in enumerate(colors):
            y, x = (start + n * CELL for start, n in zip((top, left), divmod(key, 3), strict=True))
            frame = OWN if key == query else None
            corners = (x, y, x + CELL - 1, y + CELL - 1)
            pen.rectangle(corners, fill=tuple(color.tolist()), outline=frame, width=2)
    return picture


def window_zoom(picture: Image.Image, row: int, column: int, *, stride: int) -> Image.Image:
    """Enlarge the photo around a window, and draw the squares of its nine taps.

    Args:
        picture: Input of the network.
        row: Row of the window's first tap in the map; -1 lies above of it.
        column: Column of the first tap.
        stride: Pixels of the input per pixel of the map.
    """
    width = 3 * stride
    left, top = column * stride, row * stride
    around = width * (ZOOMED_WINDOWS - 1) // 2
    part = picture.crop((left - around, top - around, left + width + around, top + width + around))
    side = 3 * 3 * CELL + 4 * GAP
    zoomed = part.resize((side, side), Image.Resampling.BICUBIC)
    pen, tap = ImageDraw.Draw(zoomed), side / (3 * ZOOMED_WINDOWS)
    start = side / 2 - 1.5 * tap
    for number in range(9):
        y, x = (start + n * tap for n in divmod(number, 3))
        pen.rectangle((x, y, x + tap, y + tap), outline=OWN)
    return zoomed
