"""Tests of the commands of the segmentation part."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.commands import ROOT
from demo.part import Job
from demo.scenes.classes import COLORS
from demo.segmentation.data import CLASSES
from demo.segmentation.run import CONFIG, MAX_ITERS, segmentation_commands, trained_segmentor
from lvt_core.openmmlab.commands import load_config
from tests.demo.runs import SCENES


def test_config_matches_the_data() -> None:
    cfg = load_config(CONFIG)
    assert tuple(cfg.classes) == CLASSES
    assert [tuple(color) for color in cfg.palette] == [COLORS[name] for name in CLASSES]
    assert cfg.max_iters == MAX_ITERS == cfg.default_hooks.checkpoint.interval


def test_commands_see_paths_from_the_task_folder() -> None:
    commands = segmentation_commands(Job(ROOT / "demo/out", SCENES, length=50, batch_size=16, processes=2))
    assert commands.train[:3] == ["./tools/dist_train.sh", "../demo/segmentation/config.py", "2"]
    backbone = "../demo/out/classification/digits/model_best.pth.tar"
    for option in (
        f"model.backbone.init_cfg.checkpoint={backbone}",
        "train_dataloader.batch_size=8",
        "train_cfg.max_iters=50",
        "param_scheduler.1.end=50",
        "param_scheduler.1.begin=2",
        "param_scheduler.0.end=2",
    ):
        assert option in commands.train
    assert commands.test[3] == "../demo/out/segmentation/digits/iter_50.pth"
    for words in (commands.train, commands.test):
        assert words[words.index("--data-root") + 1] == "../demo/out/data/segmentation"


def test_the_usual_length_is_the_configs() -> None:
    commands = segmentation_commands(Job(ROOT / "demo/out", SCENES, MAX_ITERS, batch_size=16, processes=2))
    assert not [word for word in commands.train if "max_iters" in word]


def test_finds_the_newest_segmentor(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="requires a trained segmentor in .*; add the task segmentation"):
        trained_segmentor(tmp_path)
    folder = tmp_path / "segmentation/digits"
    folder.mkdir(parents=True)
    (folder / "iter_40.pth").write_text("")
    assert trained_segmentor(tmp_path) == folder / "iter_40.pth"
