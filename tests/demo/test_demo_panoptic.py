"""The detection part of the tour: the scenes, the commands, what the page says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.commands import ROOT
from demo.panoptic_data import (
    HEIGHT,
    STUFF,
    THINGS,
    WIDTH,
    PanopticData,
    make_panoptic_data,
    panoptic_scene,
    segment_map,
)
from demo.panoptic_run import CONFIG, MAX_EPOCHS, panoptic_commands, read_panoptic_run
from demo.run import finish
from demo.scans import split_scans
from demo.segmentation_run import trained_segmentor
from lvt_core.panoptic.annotations import read_images
from lvt_core.panoptic.quality import check_map, read_map
from tests.det_commands import build

TINY = PanopticData(train=3, val=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "data"
    assert make_panoptic_data(path, TINY)
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
    assert not make_panoptic_data(root, TINY)
    make_panoptic_data(tmp_path / "again", TINY)
    for path in (p for p in root.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(root)).read_bytes()


@pytest.mark.parametrize("settings", [{"train": 0}, {"val": 0}, {"seed": -1}])
def test_impossible_settings(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        PanopticData(**settings)


def test_config_matches_the_data() -> None:
    cfg, model = build(CONFIG)
    assert tuple(cfg.things) == THINGS and tuple(cfg.stuff) == STUFF
    assert len(cfg.palette) == len(THINGS) + len(STUFF) == model.panoptic_fusion_head.num_classes
    assert cfg.max_epochs == MAX_EPOCHS == cfg.param_scheduler[1].end
    assert cfg.default_hooks.checkpoint.interval == MAX_EPOCHS


def test_commands_see_paths_from_the_task_folder() -> None:
    out = ROOT / "demo/out"
    train, test = panoptic_commands(
        out / "data/panoptic", out / "detection", backbone=out / "x.pth", max_epochs=2, processes=2, seed=5
    )
    assert train[:3] == ["./tools/dist_train.sh", "../demo/panoptic_config.py", "2"]
    assert "model.backbone.init_cfg.checkpoint=../demo/out/x.pth" in train
    assert "train_dataloader.batch_size=8" in train and "train_cfg.max_epochs=2" in train
    assert test[3] == "../demo/out/detection/digits/epoch_2.pth"
    for words in (train, test):
        assert words[words.index("--data-root") + 1] == "../demo/out/data/panoptic"


def test_the_segmentor_to_start_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="starts from the segmentation part, which has not run"):
        trained_segmentor(tmp_path)
    folder = tmp_path / "segmentation/digits"
    folder.mkdir(parents=True)
    (folder / "iter_40.pth").write_text("")
    assert trained_segmentor(tmp_path) == folder / "iter_40.pth"


def test_page_and_metrics_say_what_the_files_say(tmp_path: Path) -> None:
    make_panoptic_data(tmp_path / "data" / "panoptic", TINY)
    folder = tmp_path / "detection"
    (folder / "pictures").mkdir(parents=True)
    for index in range(2):
        Image.new("RGB", (9, 9)).save(folder / "pictures" / f"{index:012d}.png")
    quality = {name: {"PQ": 61.5, "SQ": 82.0, "RQ": 75.0} for name in (*THINGS, *STUFF)}
    quality["digit 3"] = None
    means = {"N": 15, "PQ": 60.25, "PQ_th": 65.5, "PQ_st": 50.5, "RQ_th": 81.5}
    (folder / "results.json").write_text(json.dumps({**means, "classes": quality}))
    run = {"commands": ["python tools/train.py --x '<b>'"], "training_seconds": 200.4}
    (folder / "run.json").write_text(json.dumps(run))
    text = finish(tmp_path).read_text(encoding="utf-8")
    for fact in (
        "60.2 %",
        "mean over 15 classes",
        "65.5 %",
        "50.5 %",
        "81.5 %",
        "3 min 20 s",
        "<td>61.5</td><td>82.0</td>",
    ):
        assert fact in text
    assert "digit 3</th><td>–</td>" in text
    assert "<b>" not in text and "--x &#x27;&lt;b&gt;&#x27;" in text
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == {"pq": 60.25, "pq_things": 65.5, "pq_stuff": 50.5}
    assert read_panoptic_run(tmp_path).training_scenes == 3
