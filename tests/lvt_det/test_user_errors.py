"""Mistakes in data and options: one clear sentence each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands import sentence
from tests.det_commands import det, edit_json, tiny_file, train


def failing(config: Path, tmp_path: Path, *options: object) -> str:
    return sentence(train(config, tmp_path / "run", "--no-validate", *options, ok=False))


def test_bad_json(config: Path, tmp_path: Path, splits) -> None:
    path = Path(splits[0].annotations)
    whole = path.read_text()
    for text, message in (
        (whole[:500], "train.json: cannot be read as JSON"),
        ("[1, 2]", "train.json: not a COCO file; it contains a list"),
        ('{"images": 3, "categories": []}', "train.json: names no category"),
        ("{}", "'categories' must be a list of objects"),
    ):
        path.write_text(text)
        assert message in failing(config, tmp_path)
    path.unlink()
    assert f"cannot read {path}: No such file" in failing(config, tmp_path)


def change(field: str, key: str, value) -> object:
    return lambda content: content[field][1].__setitem__(key, value)


def segment(key: str, value) -> object:
    return lambda content: content["annotations"][1]["segments_info"][2].__setitem__(key, value)


@pytest.mark.parametrize(
    "edit, message",
    [
        (segment("category_id", 999), "image 8: segment 500 has category_id=999, which is not a class"),
        (segment("id", 300), "image 8: segment id=300; ids are positive numbers, each once"),
        (segment("id", 0), "image 8: segment id=0"),
        (segment("bbox", [1, 2]), "segment 500 has bbox=[1, 2]"),
        (lambda c: c["annotations"][1]["segments_info"][2].pop("bbox"), "a segment has no 'bbox'"),
        (change("annotations", "image_id", 99), "an annotation has image_id=99, but there is no such image"),
        (change("annotations", "image_id", 7), "image_id=7 has two annotations"),
        (change("images", "file_name", "gone.png"), "gone.png: is not there, but"),
        (change("images", "file_name", "../p01.png"), "file_name='../p01.png'; it must be a name inside"),
        (change("images", "file_name", "/p01.png"), "file_name='/p01.png'; it must be a name inside"),
        (change("images", "id", 7), "two images have id=7"),
        (change("annotations", "file_name", "gone.png"), "gone.png: is not there, but"),
        (lambda c: c["images"][1].pop("height"), "an image has no 'height'"),
        (lambda c: c["images"].clear() or c["annotations"].clear(), "names no image"),
        (change("categories", "name", "crate"), "has no category 'box', which the config's classes name"),
        (change("categories", "isthing", 0), "'box' has isthing=0, but the config says that it is a thing"),
        (change("categories", "id", 30), "two categories have id=30"),
        (change("images", "width", 97), "p01.png: 96 x 64 pixels, but the annotations say 97 x 64"),
    ],
)
def test_wrong_annotations(config: Path, tmp_path: Path, splits, edit, message: str) -> None:
    edit_json(splits[0].annotations, edit)
    assert message in failing(config, tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_map_that_disagrees(config: Path, tmp_path: Path, splits, workers: int) -> None:
    for path in Path(splits[0].maps).iterdir():
        pixels = np.asarray(Image.open(path)).copy()
        pixels[:3] = 9
        Image.fromarray(pixels).save(path)
    found = failing(config, tmp_path, "--cfg-options", f"train_dataloader.num_workers={workers}")
    assert ".png: has pixels of segment 592137, which its JSON entry does not list" in found


def test_a_validation_map_that_disagrees(config: Path, tmp_path: Path, splits) -> None:
    checkpoint = tiny_file(config, tmp_path / "ours.pth")
    edit_json(splits[1].annotations, lambda c: c["annotations"][0]["segments_info"].pop())
    done = det("tools/test.py", config, checkpoint, "--work-dir", tmp_path / "t", ok=False)
    assert "p00.png: has pixels of segment 501, which its JSON entry does not list" in sentence(done)


def test_maps_of_another_size_or_kind(config: Path, tmp_path: Path, splits) -> None:
    paths = sorted(Path(splits[0].maps).iterdir())
    for path in paths:
        Image.open(path).resize((48, 32), Image.Resampling.NEAREST).save(path)
    assert "48 x 32 pixels, but its image has 96 x 64" in failing(config, tmp_path)
    for path in paths:
        path.write_bytes(b"no picture")
    assert "cannot be read as a picture" in failing(config, tmp_path)


def test_a_damaged_image(config: Path, tmp_path: Path, splits) -> None:
    for path in Path(splits[0].images).iterdir():
        path.write_bytes(b"no picture")
    assert "cannot be read as a picture" in failing(config, tmp_path)


def test_nothing_to_train_on(config: Path, tmp_path: Path, splits) -> None:
    def no_things(content) -> None:
        for entry in content["annotations"]:
            entry["segments_info"] = [s for s in entry["segments_info"] if s["category_id"] in (10, 30)]

    edit_json(splits[0].annotations, no_things)
    assert "no image of at least 32 pixels a side with an instance of a thing" in failing(config, tmp_path)


def test_published_config_without_data(tmp_path: Path) -> None:
    config = "configs/lvt/panoptic_fpn_lvt_fpn_3x_coco.py"
    done = det("tools/train.py", config, "--work-dir", tmp_path / "run", ok=False)
    assert "data/coco/train2017 (img) is not a folder; --data-root names another place" in sentence(done)


def test_wrong_numbers_of_classes(config: Path, tmp_path: Path) -> None:
    for name, message in (
        ("roi_head.bbox_head.num_classes", "train_dataloader has 2 things"),
        ("semantic_head.num_stuff_classes", "train_dataloader has 2 kinds of stuff"),
    ):
        found = failing(config, tmp_path, "--cfg-options", f"model.{name}=7")
        assert f"model.{name}=7: {message}" in found


def test_metainfo_with_stuff_first(config: Path, tmp_path: Path) -> None:
    with config.open("a") as file:
        file.write('metainfo = dict(classes=["sky", "square"], thing_classes=["square"])\n')
        file.write("train_dataloader = dict(dataset=dict(metainfo=metainfo))\n")
        file.write("model['roi_head']['bbox_head']['num_classes'] = 1\n")
        file.write("model['roi_head']['mask_head'].update(num_classes=1)\n")
        file.write("model['semantic_head'].update(num_things_classes=1, num_stuff_classes=1)\n")
        file.write("model['panoptic_fusion_head'] = dict(num_things_classes=1, num_stuff_classes=1)\n")
    assert "metainfo.classes: must begin with metainfo.thing_classes" in failing(config, tmp_path)


def test_wrong_words_are_one_sentence(config: Path, tmp_path: Path) -> None:
    checkpoint = tiny_file(config, tmp_path / "ours.pth")
    for words, message in (
        (["tools/train.py", tmp_path / "x.py"], "x.py: no such config"),
        (["tools/test.py", config, tmp_path / "x.pth"], "x.pth: no such checkpoint"),
        (["tools/test.py", config, checkpoint, "--eval", "mIoU"], "invalid choice: 'mIoU'"),
        (["tools/test.py", config, checkpoint, "--format-only"], "--format-only: requires --out NAME"),
        (
            ["tools/test.py", config, checkpoint, "--format-only", "--out", tmp_path / "o", "--eval", "PQ"],
            "--format-only: evaluates nothing",
        ),
    ):
        done = det(*words, *(["--work-dir", tmp_path / "r"] if len(words) > 2 else []), ok=False)
        assert message in sentence(done)


def test_every_config_names_our_metric(config: Path, tmp_path: Path) -> None:
    checkpoint = tiny_file(config, tmp_path / "ours.pth")
    with config.open("a") as file:
        file.write('test_evaluator = dict(_delete_=True, type="DumpDetResults", out_file_path="x.pkl")\n')
    done = det("tools/test.py", config, checkpoint, "--work-dir", tmp_path / "t", ok=False)
    assert "must be, or have in its list, a PanopticMetric" in sentence(done)


def test_validation_without_truth_is_found_before_training(config: Path, tmp_path: Path, splits) -> None:
    edit_json(splits[1].annotations, lambda c: c["annotations"].pop(1))
    done = train(config, tmp_path / "run", ok=False)
    assert "val_dataloader: " in sentence(done) and "has no annotation of image 8" in sentence(done)


def test_a_validation_map_of_another_size(config: Path, tmp_path: Path, splits) -> None:
    checkpoint = tiny_file(config, tmp_path / "ours.pth")
    for path in Path(splits[1].maps).iterdir():
        Image.open(path).resize((48, 32), Image.Resampling.NEAREST).save(path)
    done = det("tools/test.py", config, checkpoint, "--work-dir", tmp_path / "t", ok=False)
    assert "48 x 32 pixels, but its image has 96 x 64" in sentence(done)


def test_another_data_set_or_last_step(config: Path, tmp_path: Path) -> None:
    for place, value, message in (
        (
            "type",
            "CocoPanopticDataset",
            "dataset.type=CocoPanopticDataset: must be PanopticDataset",
        ),
        ("pipeline.2.type", "PackDetInputs", "val_dataloader.dataset.pipeline: must end with PackPanoptic"),
    ):
        loader = "train" if place == "type" else "val"
        options = ["--cfg-options", f"{loader}_dataloader.dataset.{place}={value}"]
        assert message in sentence(train(config, tmp_path / "run", *options, ok=False))


def test_outputs_of_one_name(config: Path, tmp_path: Path, splits) -> None:
    checkpoint = tiny_file(config, tmp_path / "ours.pth")
    images = Path(splits[1].images)
    Image.open(images / "p00.png").save(images / "p01.jpg")
    edit_json(splits[1].annotations, lambda c: c["images"][0].update(file_name="p01.jpg"))
    done = det("tools/test.py", config, checkpoint, "--out", tmp_path / "o", ok=False)
    assert "--out: p01.jpg and p01.png would have one output" in sentence(done)
