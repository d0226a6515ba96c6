"""Tests of the scenes for semantic segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.scenes.scans import split_scans
from demo.segmentation.data import CLASSES, SIZE, SegmentationData, class_map, segmentation_scene
from tests.demo.runs import SCENES


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "data"
    assert SCENES.make(path)
    return path


def test_layout_is_ade20ks(root: Path) -> None:
    for split, count in (("training", 3), ("validation", 2)):
        images = sorted((root / "images" / split).iterdir())
        masks = sorted((root / "annotations" / split).iterdir())
        assert [p.name for p in images] == [p.name for p in masks] and len(images) == count
        for image, mask in zip(images, masks, strict=True):
            assert Image.open(image).mode == "RGB" and Image.open(mask).mode == "L"
            assert Image.open(image).size == Image.open(mask).size == (SIZE, SIZE)
            values = np.unique(np.asarray(Image.open(mask)))
            assert values.min() >= 1 and values.max() <= len(CLASSES)
    assert (root / "classes.txt").read_text().splitlines() == list(CLASSES)


def test_same_settings_same_bytes_and_no_second_writing(root: Path, tmp_path: Path) -> None:
    assert not SCENES.make(root)
    SCENES.make(tmp_path / "again", processes=2)
    for path in root.rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(root)).read_bytes()


def test_digits_come_only_from_their_split() -> None:
    for split in ("train", "val"):
        for index in range(20):
            scene = segmentation_scene(split, index, seed=0)
            assert {thing.scan for thing in scene.objects} <= set(split_scans(split))


def test_class_map_names_digits_and_the_backgrounds_beside_them() -> None:
    scene = segmentation_scene("val", 3, seed=0)
    labels = class_map(scene)
    assert labels.dtype == np.uint8
    for number, thing in enumerate(scene.objects, start=1):
        assert (labels[scene.instances == number] == CLASSES.index(f"digit {thing.digit}") + 1).all()
    bare = scene.instances == 0
    np.testing.assert_array_equal(labels[bare], scene.backgrounds[bare] + 1)


@pytest.mark.parametrize("settings", [{"train": 0}, {"val": 0}, {"seed": -1}])
def test_rejects_settings_that_are_too_small(settings: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))}=.*: must be [01] or more"):
        SegmentationData(**settings)
