"""The command for custom data, from a panoptic data set and from instances and stuff."""

from __future__ import annotations

import json
import shutil
import sys
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
from tests.commands import run, sentence
from tests.det_commands import TASK, TINY_MODEL, det, edit_json, train

STUFF = ("grass", "sky")


def own(splits, work_dir: Path, *options: object, **kwargs):
    data = [splits[0].images, splits[0].annotations, splits[0].maps]
    return det("tools/own_data.py", *data, "--work-dir", work_dir, "--config-only", *options, **kwargs)


def test_config_trains(tmp_path: Path, splits) -> None:
    options = ["--epochs", 1, "-b", 2, "--short-side", 64, "--workers", 0, "--val-every", 3]
    own(splits, tmp_path / "work", *options)
    config = tmp_path / "work/config.py"
    cfg = load_config(config)
    assert (cfg.own_data.things, cfg.own_data.stuff) == (["box", "square"], ["sky", "grass"])
    assert cfg.own_data.stuff_area_limit == round(4096 * 64 * 96 / (640 * 480))
    assert (cfg.own_data.long_side, cfg.own_data.short_side) == (107, 64)
    assert cfg.model.data_preprocessor.pad_value == -2
    parts = {
        name: {e["id"] for e in json.loads((tmp_path / f"work/data/{name}.json").read_text())["images"]}
        for name in ("train", "val")
    }
    assert parts == {"train": {8, 9}, "val": {7, 10}}
    tiny = tmp_path / "work/tiny.py"
    tiny.write_text(f'_base_ = "config.py"\n{TINY_MODEL}')
    train(tiny, tmp_path / "run")
    # A second call is accepted and holds out the same images; other options need another folder.
    own(splits, tmp_path / "work", *options)
    add_images(splits[0], 40)
    own(splits, tmp_path / "work", *options)
    for name, count in (("train", 42), ("val", 2)):
        images = json.loads((tmp_path / f"work/data/{name}.json").read_text())["images"]
        assert len(images) == count and {image["id"] for image in images} >= parts[name]
    done = own(splits, tmp_path / "work", *options, "--lr", 1e-3, ok=False)
    assert "config.py: was written with other options, or edited" in sentence(done)
    done = own(splits, tmp_path / "work", *options[:-1], 4, ok=False)
    assert "--val-every 4: " in sentence(done) and "holds out by 3" in sentence(done)


def add_images(split, count: int) -> None:
    """Add larger copies of the second image."""

    def change(content) -> None:
        image, annotation = content["images"][1], content["annotations"][1]
        pixels = Image.open(Path(split.maps) / annotation["file_name"])
        size = pixels.width * 3, pixels.height * 3
        pixels.resize(size, Image.Resampling.NEAREST).save(Path(split.maps) / "large.png")
        Image.new("RGB", size).save(Path(split.images) / "large.png")
        for i in range(count):
            new = {"id": 100 + i, "file_name": "large.png", "width": size[0], "height": size[1]}
            content["images"].append({**image, **new})
            segments = [
                {**segment, "bbox": [3 * side for side in segment["bbox"]]}
                for segment in annotation["segments_info"]
            ]
            more = {"image_id": 100 + i, "file_name": "large.png", "segments_info": segments}
            content["annotations"].append({**annotation, **more})

    edit_json(split.annotations, change)


@pytest.mark.slow
def test_one_command_trains_tests_and_draws(tmp_path: Path, splits) -> None:
    data = [splits[0].images, splits[0].annotations, splits[0].maps]
    options = ["--epochs", 1, "-b", 2, "--short-side", 64, "--workers", 0, "--val-every", 2]
    words = [sys.executable, "tools/own_data.py", *data, "--work-dir", tmp_path / "work", *options]
    run(*words, task=TASK)
    assert set(json.loads((tmp_path / "work/results.json").read_text())["classes"]) == {
        "box", "square", "sky", "grass"
    }  # fmt: skip
    assert {p.name for p in (tmp_path / "work/pictures").iterdir()} == {"p00.png", "p02.png"}
    assert list((tmp_path / "work/run").glob("best_PQ_epoch_1.pth"))


def test_inputs_are_never_written_over(tmp_path: Path, splits) -> None:
    folder = tmp_path / "work/data"
    folder.mkdir(parents=True)
    path = folder / "train.json"
    path.write_text(Path(splits[0].annotations).read_text())
    data = [splits[0].images, path, splits[0].maps]
    done = det("tools/own_data.py", *data, "--work-dir", tmp_path / "work", "--config-only", ok=False)
    assert "train.json: lies in" in sentence(done) and "name another --work-dir" in sentence(done)
    assert path.read_text() == Path(splits[0].annotations).read_text()


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda c: c.pop("images"), "'images' must be a list of objects"),
        (lambda c: c.update(images=3), "'images' must be a list of objects"),
        (lambda c: c.pop("annotations"), "has no annotation"),
        (lambda c: c["images"][1].pop("id"), "an image has no 'id'"),
        (lambda c: c["annotations"][1].pop("image_id"), "an annotation has no 'image_id'"),
        (lambda c: c["images"][1].update(id=7), "two images have id=7"),
    ],
)
def test_wrong_annotation_files(tmp_path: Path, splits, edit, message: str) -> None:
    edit_json(splits[0].annotations, edit)
    assert message in sentence(own(splits, tmp_path / "work", ok=False))


def test_given_validation_data(tmp_path: Path, splits) -> None:
    val = splits[1]
    given = ["--val-images", val.images, "--val-annotations", val.annotations, "--val-maps", val.maps]
    own(splits, tmp_path / "work", *given)
    assert load_config(tmp_path / "work/config.py").val_dataloader.dataset.ann_file == val.annotations
    done = own(splits, tmp_path / "b", *given, "--val-every", 3, ok=False)
    assert "--val-every: holds images out where there are no --val-images" in sentence(done)
    done = own(splits, tmp_path / "b", *given[:4], ok=False)
    assert "--val-images, --val-annotations and --val-maps: all of them, or none" in sentence(done)


def test_mistakes(tmp_path: Path, splits) -> None:
    for options, message in (
        (["--epochs", 0], "--epochs 0: must be 1 or more"),
        (["--short-side", 8], "--short-side 8: must be 32 or more"),
        (["--lr", -1], "--lr -1.0: must be more than 0"),
        (["--flip", 2], "--flip 2.0: must be in 0..1"),
        (["--stuff-classes", tmp_path / "none"], "cannot be read"),
        (["--pretrained", tmp_path / "none"], "none: no such file"),
    ):
        assert message in sentence(own(splits, tmp_path / "work", *options, ok=False))
    edit_json(splits[0].annotations, lambda c: c["annotations"][1]["segments_info"].pop())
    assert "has pixels of segment 501" in sentence(own(splits, tmp_path / "work", ok=False))
    edit_json(splits[0].annotations, lambda c: c["annotations"].pop(1))
    assert "image 8 has no annotation" in sentence(own(splits, tmp_path / "w2", ok=False))


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
