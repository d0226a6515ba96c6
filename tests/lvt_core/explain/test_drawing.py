"""Pictures show each value where it belongs."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lvt_core.explain.drawing import CELL, GAP, SCALE, colors_of, spread_cells, window_picture, window_zoom


def test_brighter_is_more() -> None:
    colors = colors_of(np.linspace(0, 1, 50))
    assert tuple(colors[0]) == SCALE[0]
    assert tuple(colors[-1]) == SCALE[-1]
    assert (np.diff(colors @ [0.299, 0.587, 0.114]) > 0).all()


def test_cells_lie_where_the_layer_saw_them() -> None:
    cells = np.zeros((2, 2, 3), np.uint8)
    cells[0, 1] = 255
    canvas = Image.new("RGB", (50, 40))
    spread = np.array(spread_cells(canvas, cells, extent=(2, 2.5)))[:, :, 0]  # half a column has no cell
    assert (spread[:20, 20:40] == 255).all()
    spread[:20, 20:40] = 0
    assert not spread.any()


def test_a_window_has_a_square_for_each_query() -> None:
    weights = np.zeros((9, 9))
    weights[5, 1] = 0.5  # from the middle right output to the upper centre input
    picture = np.array(window_picture(weights, largest=0.5))
    top, left = GAP + (3 * CELL + GAP), GAP + 2 * (3 * CELL + GAP) + CELL
    rows, columns = np.nonzero((picture == SCALE[-1]).all(axis=-1))
    assert (rows.min(), rows.max()) == (top, top + CELL - 1)
    assert (columns.min(), columns.max()) == (left, left + CELL - 1)


def test_the_zoom_is_centred_on_the_window() -> None:
    photo = Image.new("RGB", (64, 64))
    photo.paste((255, 0, 0), (12, 20, 24, 32))  # the window whose first tap is (5, 3)
    red = np.array(window_zoom(photo, 5, 3, stride=4))[:, :, 0] > 128
    rows, columns = np.nonzero(red)
    centre = (red.shape[0] - 1) / 2
    assert abs(rows.mean() - centre) < 1
    assert abs(columns.mean() - centre) < 1
    assert abs(np.ptp(rows) - red.shape[0] / 3) < 4
