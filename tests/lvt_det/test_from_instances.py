"""Panoptic data made of COCO instances and maps of stuff."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from lvt_core.errors import UserError
from lvt_core.openmmlab.commands import load_config
from lvt_core.panoptic.annotations import read_images
from lvt_core.panoptic.quality import read_map
from lvt_det.from_instances import write_panoptic
from tests.det_commands import ODD, det, edit_json

STUFF = ("grass", "sky")


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    """Polygons, run lengths and a crowd over two kinds of stuff."""
    size = (40, 60)
    (tmp_path / "stuff").mkdir()
    stuff = np.ones(size, np.uint8)
    stuff[20:] = 2
    stuff[:2], stuff[2:3] = 0, 255
    Image.fromarray(stuff).save(tmp_path / "stuff/a.png")
    small = np.zeros(size, np.uint8)
    small[12:18, 12:18] = 1
    crowd = np.zeros(size, np.uint8)
    crowd[10:36, 30:50] = 1
    runs = coco_mask.encode(np.asfortranarray(small))
    runs["counts"] = runs["counts"].decode()
    flat = crowd.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, len(flat)]).tolist()
    entries = [
        {"segmentation": runs, "category_id": 3, "iscrowd": 0},
        {"segmentation": [[8, 8, 24, 8, 24, 24, 8, 24]], "category_id": 9, "iscrowd": 0},
        {"segmentation": {"size": list(size), "counts": counts}, "category_id": 3, "iscrowd": 1},
        {"segmentation": [[40, 12, 46, 12, 46, 18, 40, 18]], "category_id": 3, "iscrowd": 0},
    ]
    content = {
        "images": [{"id": 5, "file_name": "a.jpg", "height": size[0], "width": size[1]}],
        "annotations": [{"id": i, "image_id": 5, **entry} for i, entry in enumerate(entries)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def convert(instances: Path, stuff=STUFF):
    folder = instances.parent
    write_panoptic(instances, folder / "stuff", stuff, folder / "out.json", folder / "out")
    return read_images(folder / "out.json", ("cat", "dog", *stuff), ("cat", "dog"))[0]


def test_instances_and_stuff_become_panoptic(instances: Path) -> None:
    image = convert(instances)
    ids = read_map(instances.parent / "out" / image.map_name)
    label = {segment.id: (segment.label, segment.is_crowd) for segment in image.segments}
    at = {place: label.get(int(ids[place]), "void") for place in
          ((1, 1), (2, 1), (5, 1), (30, 1), (14, 14), (9, 9), (30, 40), (14, 43))}  # fmt: skip
    assert at == {
        (1, 1): "void",
        (2, 1): "void",
        (5, 1): (2, False),
        (30, 1): (3, False),
        (14, 14): (0, False),  # the smaller instance lies on the larger one
        (9, 9): (1, False),
        (30, 40): (0, True),
        (14, 43): (0, False),  # and any lies on a crowd
    }
    assert len({segment.id for segment in image.segments}) == 6
    for segment in image.segments:
        rows, columns = np.nonzero(ids == segment.id)
        size = np.ptp(columns) + 1, np.ptp(rows) + 1
        assert segment.box == (columns.min(), rows.min(), *size)


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda c: c["annotations"][0].update(category_id=7), "image 5 has unknown category_id=7"),
        (lambda c: c["annotations"][0].update(image_id=7), "image_id=7, but there is no such image"),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 2]]), "neither polygons nor run lengths"),
        (lambda c: c["annotations"][0].pop("segmentation"), "an annotation has no 'segmentation'"),
        (
            lambda c: c["annotations"][0].update(iscrowd="0"),
            "an annotation has iscrowd='0'; it must be 0 or 1",
        ),
        (lambda c: c["images"][0].update(height=41), r"has \(40, 60\) pixels, the image has \(41, 60\)"),
        (lambda c: c["images"][0].update(file_name="b.jpg"), "b.png: no such picture"),
        (lambda c: c["images"][0].update(file_name="../stuff/a.jpg"), "must be a name inside of its folder"),
        (
            lambda c: c["images"].append({**c["images"][0], "id": 6, "file_name": "a.png"}),
            "two images would have the map a.png",
        ),
        (lambda c: c["categories"][0].update(name="sky"), "'sky' is a class of stuff too"),
    ],
)
def test_wrong_instances(instances: Path, edit, message: str) -> None:
    edit_json(str(instances), edit)
    with pytest.raises(UserError, match=message):
        convert(instances)


def test_maps_are_not_written_over_the_stuff(instances: Path) -> None:
    folder = instances.parent
    with pytest.raises(UserError, match="would be written over what they are made of"):
        write_panoptic(instances, folder / "stuff", STUFF, folder / "out.json", folder / "stuff")


def test_wrong_stuff(instances: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png: has the value 2; allowed are 1 to 1, and 0 and 255"):
        convert(instances, ("grass",))


def test_the_command_takes_instances(instances: Path, tmp_path: Path) -> None:
    (tmp_path / "stuff.txt").write_text("grass\nsky\n")
    (tmp_path / "images").mkdir()
    shutil.copy(tmp_path / "stuff/a.png", tmp_path / "stuff/b.png")
    for name in ("a", "b"):
        Image.new("RGB", (60, 40)).save(tmp_path / f"images/{name}.jpg")

    def second(content) -> None:
        content["images"].append({**content["images"][0], "id": 6, "file_name": "b.jpg"})
        content["annotations"].append({**content["annotations"][1], "image_id": 6})

    edit_json(str(instances), second)
    words = ["tools/own_data.py", tmp_path / "images", instances, tmp_path / "stuff"]
    options = ["--stuff-classes", tmp_path / "stuff.txt", "--work-dir", tmp_path / "work", "--config-only"]
    det(*words, *options)
    cfg = load_config(tmp_path / "work/config.py")
    assert (cfg.own_data.things, cfg.own_data.stuff) == (["cat", "dog"], ["grass", "sky"])
    assert cfg.train_dataloader.dataset.data_prefix.seg == str(tmp_path / "work/data/panoptic")


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    ("room", "field"),
    [
        *(("images", field) for field in ("id", "height", "width", "file_name")),
        *(("annotations", field) for field in ("image_id", "category_id", "iscrowd", "segmentation")),
        *(("categories", field) for field in ("id", "name")),
    ],
)
def test_json_of_any_odd_type_ends_in_a_sentence(instances: Path, room: str, field: str, odd: object) -> None:
    edit_json(str(instances), lambda content: content[room][0].update({field: odd}))
    try:
        convert(instances)
    except UserError as error:
        assert str(instances.parent) in str(error)
    else:
        assert (field, odd) in [("iscrowd", True), ("name", "x")]
