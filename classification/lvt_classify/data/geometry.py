"""Geometry of augmentation: matrices from a point of the result to a point of the input, as fractions."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

Matrix = np.ndarray  # 3x3, homogeneous, float64


def crop_matrix(top: float, left: float, height: float, width: float) -> Matrix:
    """Return the geometry of a crop box, given in fractions of the image."""
    return np.array([[width, 0, left], [0, height, top], [0, 0, 1]], dtype=np.float64)


def move_cells(label_map: Tensor, matrix: Matrix) -> Tensor:
    """Move a map's cells by the nearest one; cells from outside have logit 0.

    Args:
        label_map: Planes of cells, ``(2, k, h, w)``: logits, classes.
        matrix: Map from fractions of the result to fractions of the input.
    """
    h, w = label_map.shape[-2:]
    y, x = np.mgrid[:h, :w] + 0.5
    places = matrix @ np.stack((x.ravel() / w, y.ravel() / h, np.ones(h * w)))
    column, row = np.floor(places[0] * w).astype(int), np.floor(places[1] * h).astype(int)
    inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
    cell = torch.from_numpy(np.where(inside, row * w + column, 0))
    moved = label_map.flatten(2)[:, :, cell] * torch.from_numpy(inside)
    return moved.view_as(label_map)


def transposed(crop: Matrix) -> Matrix:
    """Exchange x and y of a crop box, as the original release crops label maps."""
    return crop_matrix(crop[0, 2], crop[1, 2], crop[0, 0], crop[1, 1])


FLIP_X: Matrix = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
FLIP_Y: Matrix = np.array([[1.0, 0, 0], [0, -1, 1], [0, 0, 1]])


def _from_pixels(a: float, b: float, c: float, d: float, e: float, f: float, w: int, h: int) -> Matrix:
    """Convert Pillow's affine map, from output to input pixels, to fractions of a ``w x h`` image."""
    return np.array([[a, b * h / w, c / w], [d * w / h, e, f / h], [0, 0, 1]])


def _shear_x(factor: float, w: int, h: int) -> Matrix:
    return _from_pixels(1, factor, 0, 0, 1, 0, w, h)


def _shear_y(factor: float, w: int, h: int) -> Matrix:
    return _from_pixels(1, 0, 0, factor, 1, 0, w, h)


def _translate_x(pixels: float, w: int, h: int) -> Matrix:
    return _from_pixels(1, 0, pixels, 0, 1, 0, w, h)


def _translate_y(pixels: float, w: int, h: int) -> Matrix:
    return _from_pixels(1, 0, 0, 0, 1, pixels, w, h)


def _translate_x_rel(share: float, w: int, h: int) -> Matrix:
    return _translate_x(share * w, w, h)


def _translate_y_rel(share: float, w: int, h: int) -> Matrix:
    return _translate_y(share * h, w, h)


def _rotate(degrees: float, w: int, h: int) -> Matrix:
    """Invert Pillow's rotation, which is counter-clockwise about the centre, with y pointing down."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = w / 2, h / 2
    return _from_pixels(cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, w, h)


OP_MATRICES = {
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "TranslateXRel": _translate_x_rel,
    "TranslateYRel": _translate_y_rel,
    "Rotate": _rotate,
}

IN_SQUARES = (_shear_x, _shear_y, _rotate)
