"""Shears and translations equal Pillow's, to one level of 255."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image
from timm.data import auto_augment

from lvt_classify.data import shifts

OPERATIONS = {
    "shear_x": ("shear_x", 0.27),
    "shear_y": ("shear_y", -0.3),
    "translate_x": ("translate_x_abs", -17.3),
    "translate_y": ("translate_y_abs", 200.0),
    "translate_x_rel": ("translate_x_rel", 0.41),
    "translate_y_rel": ("translate_y_rel", -0.0037),
}
BOTH = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("resample", [*BOTH, BOTH])
def test_operations_equal_pillows(name: str, resample) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (61, 83, 3)).astype(np.uint8)
    image, (timms, level) = Image.fromarray(pixels), OPERATIONS[name]
    how = {"resample": resample, "fillcolor": (7, 130, 250)}
    results = []
    for function in (getattr(shifts, name), getattr(auto_augment, timms)):
        random.seed(3)
        results.append((function(image, level, **how), random.random()))
    (ours, draw), (pillows, other_draw) = results
    assert draw == other_draw
    assert ours.size == pillows.size and ours.mode == pillows.mode
    difference = np.abs(np.asarray(ours).astype(int) - np.asarray(pillows))
    assert difference.max() <= 1
    assert difference.mean() < 0.05
    assert not np.array_equal(np.asarray(ours), pixels)
