"""Tests of the painted backgrounds."""

import numpy as np
import pytest

from demo.scenes.backgrounds import BACKGROUNDS, paint_background


def test_every_background_kind_has_a_visible_and_distinct_texture() -> None:
    pictures = {}
    for kind in BACKGROUNDS:
        picture, kind_map = paint_background(np.random.default_rng(0), kinds=(kind,), height=64, width=64)
        assert picture.min() >= 0 and picture.max() <= 1
        assert picture.std() > 0.01
        assert (kind_map == BACKGROUNDS.index(kind)).all()
        pictures[kind] = picture
    names = list(pictures)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            assert np.abs(pictures[name] - pictures[other]).mean() > 0.005


@pytest.mark.parametrize("kinds", [(), ("sea",), ("sky", "sky"), ("sky", "dots", "bricks")])
def test_rejects_wrong_kinds(kinds: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="must be one or two different names from"):
        paint_background(np.random.default_rng(0), kinds=kinds, height=8, width=8)
