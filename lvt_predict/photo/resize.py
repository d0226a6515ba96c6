"""Bilinear resizing of bytes, equal bit by bit to OpenCV's, with which the dense networks are trained."""

from __future__ import annotations

import numpy as np

STEPS = np.float32(2048)  # OpenCV's weights are whole numbers of 2^-11


def resize_bytes(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image as ``cv2.resize`` does with ``INTER_LINEAR``, without antialiasing.

    Args:
        pixels: uint8 ``(H, W, C)``.
        size: Height and width of the result.
    """
    height, width = pixels.shape[:2]
    if size == (height, width):
        return pixels
    if (height, width) == (2 * size[0], 2 * size[1]):  # OpenCV takes the mean of four pixels
        wide = pixels.astype(np.int32)
        total = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
        return ((total + 2) >> 2).astype(np.uint8)
    rows, down = _places(height, size[0])
    columns, across = _places(width, size[1])
    outside = (columns < 0) | (columns >= width - 1)
    across[outside], columns = 0, np.clip(columns, 0, width - 1)
    right, weights = np.minimum(columns + 1, width - 1), _weights(across)[:, None, :, None]

    def lines(places: np.ndarray) -> np.ndarray:
        line = pixels[np.clip(places, 0, height - 1)].astype(np.int32)
        return line[:, columns] * weights[0] + line[:, right] * weights[1]

    above, below = _weights(down)[:, :, None, None]
    # The shifts keep the products within 32 bits, and round as OpenCV does.
    total = (above * (lines(rows) >> 4) >> 16) + (below * (lines(rows + 1) >> 4) >> 16)
    return ((total + 2) >> 2).astype(np.uint8)


def _places(size: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel left of each new one, and the share of its right neighbour."""
    places = ((np.arange(target) + 0.5) * (size / target) - 0.5).astype(np.float32)
    left = np.floor(places)
    return left.astype(np.int64), places - left


def _weights(share: np.ndarray) -> np.ndarray:
    """Return the weights of both neighbours, ``(2, N)``."""
    return np.rint(np.stack((1 - share, share)) * STEPS).astype(np.int32)
