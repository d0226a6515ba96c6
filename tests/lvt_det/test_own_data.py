"""The command for custom data, from a panoptic data set and from instances and stuff."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from lvt_core.openmmlab.commands import load_config
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
    assert "image 8 (p01.png) has no annotation" in sentence(own(splits, tmp_path / "w2", ok=False))
