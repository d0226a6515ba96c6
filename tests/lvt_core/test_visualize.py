"""Pictures: the right colours at the right places."""

from __future__ import annotations

import numpy as np

from lvt_core.visualize import GAP, LINE, WRONG, class_colors, segmentation_picture

CLASSES = ("a", "b", "c")


def panels(picture, width: int, height: int) -> list[np.ndarray]:
    pixels = np.asarray(picture)
    count = (pixels.shape[1] + GAP) // (width + GAP)
    return [pixels[LINE : LINE + height, i * (width + GAP) :][:, :width] for i in range(count)]


def test_colors_differ_and_stay() -> None:
    colors = class_colors(150)
    assert len({tuple(c) for c in colors.tolist()}) == 150
    np.testing.assert_array_equal(class_colors(10), colors[:10])


def test_errors_are_red_and_ignored_pixels_black() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, 3)).astype(np.uint8)
    truth = np.zeros((40, 60), np.int64)
    truth[:, 30:] = 1
    truth[:5] = 255
    prediction = np.zeros((40, 60), np.int64)
    prediction[20:] = 1
    picture = segmentation_picture(
        image, prediction, truth, classes=CLASSES, palette=class_colors(3).tolist()
    )
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
        image, np.full((40, 60), 2), None, classes=CLASSES, palette=class_colors(3).tolist()
    )
    assert len(panels(picture, 60, 40)) == 2
