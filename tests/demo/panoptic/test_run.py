"""Tests of the commands and the config of the panoptic part."""

from __future__ import annotations

from pathlib import Path

from demo.commands import ROOT
from demo.panoptic.data import STUFF, THINGS
from demo.panoptic.run import CONFIG, MAX_EPOCHS, panoptic_commands
from demo.part import Job
from demo.scenes.classes import COLORS
from tests.demo.runs import INSTANCES
from tests.det_commands import build


def test_config_matches_the_data() -> None:
    cfg, model = build(CONFIG)
    assert tuple(cfg.things) == THINGS and tuple(cfg.stuff) == STUFF
    assert [tuple(color) for color in cfg.palette] == [COLORS[name] for name in (*THINGS, *STUFF)]
    assert len(cfg.palette) == model.panoptic_fusion_head.num_classes
    assert cfg.max_epochs == MAX_EPOCHS == cfg.param_scheduler[1].end
    assert cfg.default_hooks.checkpoint.interval == MAX_EPOCHS


def test_commands_see_paths_from_the_task_folder(tmp_path: Path) -> None:
    segmentor = tmp_path / "segmentation/digits/iter_40.pth"
    segmentor.parent.mkdir(parents=True)
    segmentor.write_text("")
    commands = panoptic_commands(Job(tmp_path, INSTANCES, length=7, batch_size=16, processes=2))
    assert commands.train[:3] == ["./tools/dist_train.sh", "../demo/panoptic/config.py", "2"]
    start = next(word for word in commands.train if "init_cfg.checkpoint=" in word)
    assert (ROOT / "detection" / start.partition("=")[2]).resolve() == segmentor.resolve()
    assert "train_dataloader.batch_size=8" in commands.train and "train_cfg.max_epochs=7" in commands.train
    assert commands.test[3].endswith("/detection/digits/epoch_7.pth")
    for words in (commands.train, commands.test):
        assert words[words.index("--data-root") + 1].endswith("/data/panoptic")
