"""The segmentation part of the tour: the scenes, the commands, what the page says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.backgrounds import BACKGROUNDS
from demo.commands import ROOT
from demo.run import finish
from demo.scans import split_scans
from demo.segmentation_data import (
    CLASSES,
    SIZE,
    SegmentationData,
    class_map,
    make_segmentation_data,
    segmentation_scene,
)
from demo.segmentation_run import read_segmentation_run, segmentation_commands

TINY = SegmentationData(train=3, val=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "data"
    assert make_segmentation_data(path, TINY)
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
    assert not make_segmentation_data(root, TINY)
    make_segmentation_data(tmp_path / "again", TINY)
    for path in root.rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(root)).read_bytes()


def test_digits_come_from_their_split_alone() -> None:
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
def test_impossible_settings(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SegmentationData(**settings)


def test_commands_see_paths_from_the_task_folder() -> None:
    out = ROOT / "demo/out"
    train, test = segmentation_commands(
        out / "data/segmentation",
        out / "segmentation",
        backbone=out / "x.pth",
        max_iters=40,
        processes=2,
        seed=5,
    )
    assert train[:3] == ["./tools/dist_train.sh", "../demo/segmentation_config.py", "2"]
    assert "model.backbone.init_cfg.checkpoint=../demo/out/x.pth" in train
    assert "train_dataloader.batch_size=8" in train and "train_cfg.max_iters=40" in train
    assert test[3] == "../demo/out/segmentation/digits/iter_40.pth"
    for words in (train, test):
        assert words[words.index("--data-root") + 1] == "../demo/out/data/segmentation"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a finished run with made-up results: one background and one digit never occur."""
    make_segmentation_data(tmp_path / "data" / "segmentation", TINY)
    folder = tmp_path / "segmentation"
    (folder / "pictures").mkdir(parents=True)
    for index in range(2):
        Image.new("RGB", (9, 9)).save(folder / "pictures" / f"scene_{index:05d}.png")
    iou = {name: {"IoU": 90.0 if name in BACKGROUNDS else 70.0, "Acc": 1.0} for name in CLASSES}
    iou["sky"]["IoU"] = iou["digit 3"]["IoU"] = None
    results = {"aAcc": 95.5, "mIoU": 77.25, "mAcc": 80.0, "classes": iou}
    (folder / "results.json").write_text(json.dumps(results))
    run = {"commands": ["python tools/train.py --x '<b>'"], "training_seconds": 200.4}
    (folder / "run.json").write_text(json.dumps(run))
    return tmp_path


def test_page_and_metrics_say_what_the_files_say(out: Path) -> None:
    text = finish(out).read_text(encoding="utf-8")
    for fact in ("77.2 %", "90.0 %", "70.0 %", "95.5 %", "3 min 20 s", "digit 3</th><td>–</td>"):
        assert fact in text
    assert "<b>" not in text and "--x &#x27;&lt;b&gt;&#x27;" in text
    assert json.loads((out / "metrics.json").read_text()) == {"miou": 77.25}


def test_means_leave_out_classes_that_never_occur(out: Path) -> None:
    run = read_segmentation_run(out)
    assert (run.mean_iou(digits=False), run.mean_iou(digits=True)) == (90.0, 70.0)
    assert len(run.pictures) == 2 and run.training_scenes == 3
