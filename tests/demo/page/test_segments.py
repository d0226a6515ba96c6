"""Tests of the pictures of segments."""

import numpy as np

from demo.page.segments import SHADES, Segments, error_panel
from demo.scenes.classes import COLORS


def test_segments_have_their_classes_colours() -> None:
    ids = np.array([[1, 2], [3, 0]])
    picture = Segments(ids, {1: "sky", 2: "digit 7", 3: "digit 7"}).picture()
    assert tuple(picture[0, 0]) == COLORS["sky"] and tuple(picture[0, 1]) == COLORS["digit 7"]
    second = (np.array(COLORS["digit 7"]) * SHADES[1]).astype(np.uint8)
    np.testing.assert_array_equal(picture[1, 0], second)
    assert not picture[1, 1].any()


def test_alternative_text_names_the_classes() -> None:
    panel = Segments(np.ones((2, 2), int), {1: "sky"}).panel("truth")
    assert (panel.caption, panel.alt) == ("truth", "truth: sky")


def test_error_panel_counts_wrong_pixels() -> None:
    panel = error_panel(np.zeros((2, 2, 3)), np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]]))
    assert panel.caption == "wrong: 25.0 %"
