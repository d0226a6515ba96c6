"""Tests of scenes: the same every time, and true about every pixel."""

import numpy as np
import pytest

from demo.scenes.backgrounds import BACKGROUNDS
from demo.scenes.compose import Scene, compose_scene, scene_rng
from demo.scenes.scans import load_scans


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
    """Each digit is clearly lighter than any kind of background."""
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
        assert inside - outside > 50


def test_rejects_wrong_values() -> None:
    with pytest.raises(ValueError, match="split='test': must be one of"):
        scene_rng(0, "test", 0)
    rng = np.random.default_rng(0)
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
