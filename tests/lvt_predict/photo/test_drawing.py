"""Pictures: the right colours at the right places."""

from __future__ import annotations

import numpy as np

from lvt_predict.photo.classes import distinct_colors
from lvt_predict.photo.drawing import (
    GAP,
    SMALLEST_TEXT,
    WRONG,
    panoptic_picture,
    segmentation_picture,
)

CLASSES = ("a", "b", "c")
LINE = SMALLEST_TEXT * 3 // 2


def panels(picture, width: int, height: int) -> list[np.ndarray]:
    pixels = np.asarray(picture)
    count = (pixels.shape[1] + GAP) // (width + GAP)
    return [pixels[LINE : LINE + height, i * (width + GAP) :][:, :width] for i in range(count)]


def test_colors_differ_and_stay() -> None:
    colors = distinct_colors(150)
    assert len({tuple(c) for c in colors}) == 150
    assert distinct_colors(10) == colors[:10]


def test_errors_are_red_and_ignored_pixels_black() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, 3)).astype(np.uint8)
    truth = np.zeros((40, 60), np.int64)
    truth[:, 30:] = 1
    truth[:5] = 255
    prediction = np.zeros((40, 60), np.int64)
    prediction[20:] = 1
    picture = segmentation_picture(image, prediction, truth, classes=CLASSES, palette=distinct_colors(3))
    shown, predicted, true, errors = panels(picture, 60, 40)
    np.testing.assert_array_equal(shown, image)
    counted = truth != 255
    wrong = counted & (prediction != truth)
    np.testing.assert_array_equal((errors == WRONG).all(axis=2), wrong)
    assert (errors[~counted] == 0).all()
    assert (true[~counted] <= 0.35 * image[~counted]).all()  # dark
    difference = np.abs(predicted.astype(int) - true).sum(axis=2)
    assert (difference[wrong] > 0).all() and (difference[counted & ~wrong] == 0).all()


def test_without_truth_there_are_two_panels() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    picture = segmentation_picture(
        image, np.full((40, 60), 2), None, classes=CLASSES, palette=distinct_colors(3)
    )
    assert len(panels(picture, 60, 40)) == 2


def test_segments_have_shades_of_their_class_and_white_edges() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    ids = np.full((40, 60), 7)
    ids[5:15, 5:15], ids[5:15, 15:25], ids[30:] = 1, 2, 99  # 99 is void
    palette = np.array([[200, 100, 50], [0, 0, 0], [50, 100, 200]])
    shown = (ids, {1: 0, 2: 0, 7: 2})
    picture = panoptic_picture(image, shown, shown, classes=CLASSES, palette=palette.tolist(), num_things=2)
    _, predicted, true = panels(picture, 60, 40)
    np.testing.assert_array_equal(predicted, true)
    veil = 0.65
    for place, color in (((10, 10), palette[0]), ((10, 20), 0.7 * palette[0]), ((20, 40), palette[2])):
        np.testing.assert_allclose(predicted[place], (veil * color).astype(np.uint8), atol=1)
    assert (predicted[35, 10] == 0).all()
    # A line where segments meet, also between two instances of one class.
    assert (predicted[10, 15] == 255).all() and (predicted[5, 8] == 255).all()
    assert (
        len(
            panels(
                panoptic_picture(image, shown, None, classes=CLASSES, palette=palette.tolist(), num_things=2),
                60,
                40,
            )
        )
        == 2
    )
