"""Tests of the scenes for panoptic segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.panoptic.data import (
    HEIGHT,
    STUFF,
    THINGS,
    WIDTH,
    PanopticData,
    panoptic_scene,
    segment_map,
)
from demo.scenes.scans import split_scans
from lvt_core.panoptic.annotations import read_images
from lvt_core.panoptic.quality import check_map, read_map
from tests.demo.runs import INSTANCES


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "data"
    assert INSTANCES.make(path)
    return path


def test_layout_is_cocos(root: Path) -> None:
    for split, count in (("train2017", 3), ("val2017", 2)):
        annotations = root / "annotations" / f"panoptic_{split}.json"
        images = read_images(annotations, [*THINGS, *STUFF], THINGS)
        assert len(images) == count
        for image in images:
            assert Image.open(root / split / image.file_name).size == (WIDTH, HEIGHT)
            ids = read_map(root / "annotations" / f"panoptic_{split}" / image.map_name)
            check_map(ids, [segment.id for segment in image.segments], image.map_name)
            assert (ids > 0).all()  # nothing is void
            for segment in image.segments:
                rows, columns = np.nonzero(ids == segment.id)
                left, top, width, height = segment.box
                assert (columns.min(), rows.min()) == (left, top)
                assert (columns.max() + 1, rows.max() + 1) == (left + width, top + height)


def test_segments_are_the_digits_and_what_lies_behind() -> None:
    for index in range(5):
        scene = panoptic_scene("val", index, seed=0)
        assert {thing.scan for thing in scene.objects} <= set(split_scans("val"))
        ids, segments = segment_map(scene)
        things = [s for s in segments if s["category_id"] <= len(THINGS)]
        assert [s["category_id"] - 1 for s in things] == [thing.digit for thing in scene.objects]
        for number, segment in enumerate(things, start=1):
            np.testing.assert_array_equal(ids == segment["id"], scene.instances == number)
        for segment in segments[len(things) :]:
            kind = segment["category_id"] - 1 - len(THINGS)
            np.testing.assert_array_equal(
                ids == segment["id"], (scene.instances == 0) & (scene.backgrounds == kind)
            )


def test_same_settings_same_bytes_and_no_second_writing(root: Path, tmp_path: Path) -> None:
    assert not INSTANCES.make(root)
    INSTANCES.make(tmp_path / "again", processes=2)
    for path in (p for p in root.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(root)).read_bytes()


@pytest.mark.parametrize("settings", [{"train": 0}, {"val": 0}, {"seed": -1}])
def test_rejects_settings_that_are_too_small(settings: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))}=.*: must be [01] or more"):
        PanopticData(**settings)
