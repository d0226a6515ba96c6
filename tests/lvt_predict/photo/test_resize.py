"""Resizing of bytes equals OpenCV's, bit by bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lvt_predict.photo.resize import resize_bytes

SIDES = st.integers(1, 90)


@settings(max_examples=300, deadline=None)
@given(height=SIDES, width=SIDES, rows=SIDES, columns=SIDES, seed=st.integers(0, 2**31))
def test_equals_opencv(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_bytes(pixels, (rows, columns)), expected)


@pytest.mark.parametrize("size", [(20, 31), (40, 31), (20, 62), (41, 62), (40, 62)])
def test_halves_equal_opencv(size: tuple[int, int]) -> None:
    """OpenCV takes another way if both sides are halved."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 62, 3), dtype=np.uint8)
    expected = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_bytes(pixels, size), expected)
