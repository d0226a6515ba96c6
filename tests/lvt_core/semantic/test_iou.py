"""Pixel counts are integers, however large the image."""

from __future__ import annotations

import numpy as np
import pytest

from lvt_core.semantic.iou import areas, count_pairs, iou

SIDE = 32768  # a gigapixel


def test_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(-1, 5, (7, 11)), rng.integers(-1, 6, (7, 11))
    expected = np.zeros((4, 5), np.int64)
    for t, p in zip(truth.ravel(), prediction.ravel(), strict=True):
        if 0 <= t < 4:
            expected[t, p if 0 <= p < 4 else 4] += 1
    counts = count_pairs(truth, prediction, 4)
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == np.int64


def test_an_image_larger_than_a_band_is_counted_whole() -> None:
    truth = np.arange(6000, dtype=np.int32)[:, None] // 3000 + np.zeros((1, 4000), np.int32)
    counts = count_pairs(truth, np.zeros_like(truth), 2)
    assert counts.tolist() == [[12_000_000, 0, 0], [12_000_000, 0, 0]]
    assert iou(counts).tolist() == [0.5, 0.0]


@pytest.mark.slow
def test_a_gigapixel_is_counted_singly() -> None:
    """All pixels but one have class 0 and are found; float32 stops at 2^24 of 2^30."""
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[-1, -1] = 1
    counts = count_pairs(truth, np.broadcast_to(np.uint8(0), truth.shape), 2)
    assert counts.tolist() == [[SIDE * SIDE - 1, 0, 0], [1, 0, 0]]


def test_gigapixels_add_up_in_integers() -> None:
    """A thousand images of a gigapixel."""
    one = np.array([[SIDE * SIDE - 1, 0, 0], [1, 0, 0]], np.int64)
    total = 1000 * one
    assert areas(total).tolist() == [
        [1000 * (SIDE * SIDE - 1), 0],
        [1000 * SIDE * SIDE, 1000],
        [1000 * SIDE * SIDE, 0],
        [1000 * (SIDE * SIDE - 1), 1000],
    ]
    assert iou(total)[0] == pytest.approx(1 - 1 / (SIDE * SIDE), abs=1e-16)
