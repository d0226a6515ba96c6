"""Scenes: the same every time, split by scan, and true about every pixel."""

import numpy as np
import pytest

from demo.backgrounds import BACKGROUNDS, paint_background
from demo.scans import load_scans, split_scans
from demo.scenes import Scene, compose_scene, scene_rng


def _scene(seed: int = 0, split: str = "train", index: int = 0) -> Scene:
    return compose_scene(
        scene_rng(seed, split, index),
        scans=(3, 14, 25),
        kinds=("sky", "bricks"),
        height=96,
        width=130,
        digit_height=(20, 40),
    )


def test_the_same_key_gives_the_same_scene() -> None:
    first, second = _scene(), _scene()
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.instances, second.instances)
    assert first.objects == second.objects


@pytest.mark.parametrize("key", [(1, "train", 0), (0, "val", 0), (0, "train", 1)])
def test_each_part_of_the_key_matters(key: tuple[int, str, int]) -> None:
    assert not np.array_equal(_scene().image, _scene(*key).image)


def test_scene_arrays_and_boxes_agree() -> None:
    scene = _scene()
    assert scene.image.shape == (96, 130, 3) and scene.image.dtype == np.uint8
    assert scene.instances.shape == (96, 130) and scene.instances.dtype == np.int32
    assert scene.backgrounds.shape == (96, 130) and scene.backgrounds.dtype == np.uint8
    assert set(np.unique(scene.instances)) == {0, 1, 2, 3}
    kinds = {BACKGROUNDS[value] for value in np.unique(scene.backgrounds)}
    assert kinds == {"sky", "bricks"}
    for number, entry in enumerate(scene.objects, start=1):
        rows, columns = np.nonzero(scene.instances == number)
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert entry.box == edges
        assert entry.digit == load_scans().digit[entry.scan]
    assert [entry.scan for entry in scene.objects] == [3, 14, 25]


def test_a_scene_may_be_empty() -> None:
    scene = compose_scene(
        scene_rng(0, "train", 0),
        scans=(),
        kinds=("dots",),
        height=16,
        width=16,
        digit_height=(8, 10),
    )
    assert scene.objects == () and not scene.instances.any()


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_digits_stand_out(kind: str) -> None:
    """Each digit is clearly lighter than the background, whatever its kind."""
    for index in range(5):
        scene = compose_scene(
            scene_rng(0, "train", index),
            scans=(index,),
            kinds=(kind,),
            height=64,
            width=64,
            digit_height=(32, 44),
        )
        luma = scene.image @ np.array([0.299, 0.587, 0.114])
        inside = luma[scene.instances == 1].mean()
        outside = luma[scene.instances == 0].mean()
        assert inside - outside > 50  # of 255


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


def test_splits_share_no_scan_and_keep_the_balance() -> None:
    train, val = split_scans("train"), split_scans("val")
    assert not set(train) & set(val)
    assert sorted(train + val) == list(range(1797))
    for digit in range(10):
        counts = [int((load_scans().digit[list(scans)] == digit).sum()) for scans in (train, val)]
        assert 0.19 < counts[1] / sum(counts) < 0.22


def test_a_stepped_split_is_a_part_of_the_whole_with_every_class() -> None:
    few = split_scans("val", step=30)
    assert set(few) < set(split_scans("val"))
    assert set(load_scans().digit[list(few)].tolist()) == set(range(10))


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match="split='test': must be one of"):
        split_scans("test")
    with pytest.raises(ValueError, match="split='test': must be one of"):
        scene_rng(0, "test", 0)
    rng = np.random.default_rng(0)
    for kinds in ((), ("sea",), ("sky", "sky"), ("sky", "dots", "bricks")):
        with pytest.raises(ValueError, match="must be one or two different of"):
            paint_background(rng, kinds=kinds, height=8, width=8)
    for digit_height in ((4, 20), (30, 20), (20, 64)):
        with pytest.raises(ValueError, match=r"digit_height=.*within 8\.\.51"):
            compose_scene(
                rng,
                scans=(0,),
                kinds=("sky",),
                height=64,
                width=64,
                digit_height=digit_height,
            )
    with pytest.raises(ValueError, match="is hidden in a scene of 24 x 24"):
        compose_scene(rng, scans=range(60), kinds=("sky",), height=24, width=24, digit_height=(16, 17))


def test_the_largest_digit_always_fits() -> None:
    for index in range(60):
        scene = compose_scene(
            scene_rng(3, "val", index),
            scans=(index,),
            kinds=("gravel",),
            height=32,
            width=40,
            digit_height=(23, 23),
        )
        assert scene.instances.any()
