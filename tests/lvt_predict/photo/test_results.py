"""Results as tables, JSON, masks and pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvt_predict.errors import UserError
from lvt_predict.panoptic import PanopticMap, PanopticSegment
from lvt_predict.photo.classes import Classes, classes_of
from lvt_predict.photo.results import Classification, Panoptic, Segmentation

PHOTO = np.full((20, 30, 3), 200, np.uint8)
COLORS = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def classes(task: str, **fields: object) -> Classes:
    return classes_of(task, 3, names=["a", "b", "c"], palette=COLORS, **fields)  # type: ignore[arg-type]


def segmentation(**fields: object) -> Segmentation:
    labels = np.zeros((20, 30), np.int64)
    labels[:, 20:] = 2
    return Segmentation(PHOTO, classes("segmentation", **fields), labels)


def panoptic() -> Panoptic:
    ids = np.zeros((20, 30), np.int32)
    ids[5:9, 10:16], ids[10:] = 1, 2
    segments = [PanopticSegment(1, 0, 0.75, True), PanopticSegment(2, 2, None, False)]
    return Panoptic(PHOTO, classes("panoptic"), PanopticMap(ids, segments), 2)


def test_a_classification() -> None:
    result = Classification(PHOTO, classes("classification"), np.array([0.2, 0.5, 0.3], np.float32))
    assert str(result) == " 50.00 %  b\n 30.00 %  c\n 20.00 %  a"
    assert json.loads(result.to_json(top=1)) == {
        "height": 20, "width": 30, "classes": [{"class": "b", "index": 1, "score": 0.5}],
    }  # fmt: skip
    assert result.picture().width == 300  # enlarged ten times


def test_a_segmentation() -> None:
    result = segmentation()
    assert str(result).splitlines()[0] == " 66.67 %          400 pixels  a"
    rows = json.loads(result.to_json())["classes"]
    assert [(row["class"], row["pixels"]) for row in rows] == [("a", 400), ("c", 200)]
    np.testing.assert_array_equal(np.unique(result.mask()), [0, 2])
    np.testing.assert_array_equal(np.unique(segmentation(first=1).mask()), [1, 3])
    assert result.mask().dtype == np.uint8
    np.testing.assert_array_equal(np.unique(segmentation(values=[0, 7, 255]).mask()), [0, 255])
    many = Segmentation(PHOTO, classes_of("segmentation", 300), np.full((20, 30), 299))
    assert many.mask().dtype == np.uint16 and many.mask()[0, 0] == 299


def test_a_picture_shows_the_classes_where_they_are() -> None:
    pixels = np.asarray(segmentation().picture())
    red, blue = pixels[100, 50].astype(int), pixels[100, 250].astype(int)
    assert red[0] > red[2] + 100 and blue[2] > blue[0] + 100
    small = np.asarray(segmentation().picture(side=15))
    assert small.shape[1] == 15 and small[5, 12, 2] > small[5, 2, 2]


def test_a_panoptic_result() -> None:
    result = panoptic()
    lines = str(result).splitlines()
    assert lines[0].endswith("24 pixels  score 0.75  a") and lines[1].endswith("300 pixels  stuff       c")
    first = json.loads(result.to_json())["segments"][0]
    assert (first["id"], first["class"], first["box"], first["is_thing"]) == (1, "a", [10, 5, 6, 4], True)
    assert result.segments_info()[1] == {
        "id": 2, "category_id": 3, "area": 300, "bbox": [0, 10, 30, 10], "iscrowd": 0,
    }  # fmt: skip
    np.testing.assert_array_equal(result.mask()[..., 0], result.map.ids)
    large = Panoptic(PHOTO, result.classes, PanopticMap(np.full((20, 30), 70000, np.int32), []), 2)
    assert large.mask()[0, 0].tolist() == [70000 % 256, 70000 // 256 % 256, 1]
    assert result.picture().width == 300


def test_saving_and_notebooks(tmp_path: Path) -> None:
    result = segmentation()
    for name in ("a.png", "b.jpg", "c.webp"):
        result.save(tmp_path / "new" / name)
        with Image.open(tmp_path / "new" / name) as image:
            assert image.width == 300
    with Image.open(io.BytesIO(result._repr_png_())) as image:
        assert image.format == "PNG"
    for name in ("a.txt", "a"):
        with pytest.raises(UserError, match="names no format of pictures; choose .png or .jpg"):
            result.save(tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*file/x.png"):
        result.save(tmp_path / "file" / "x.png")
