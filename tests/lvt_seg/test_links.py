"""Symbolic links to folders, in data and in the place of a run, change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

from lvt_core.files import walk_files
from lvt_core.openmmlab.commands import load_config
from lvt_seg.checks import check_data
from lvt_seg.datasets import match_pairs
from tests.commands import sentence
from tests.lvt_seg.conftest import write_pairs
from tests.seg_commands import seg


@pytest.fixture
def linked(data: Path) -> Path:
    """Three more pairs of the training data lie elsewhere, behind links; one link leads back up."""
    write_pairs(data / "real/images", data / "real/masks", 3)
    for kind in ("images", "masks"):
        (data / kind / "train" / "more").symlink_to(data / "real" / kind)
        (data / "real" / kind / "up").symlink_to(data / kind / "train")
    return data


def test_pairs_behind_links_are_taken_once(linked: Path) -> None:
    assert len(match_pairs(linked / "images/train", linked / "masks/train")) == 8 + 3
    assert len(list(walk_files(linked / "images/train"))) == 8 + 3


def test_masks_behind_links_are_there(linked: Path, config: Path) -> None:
    init_default_scope("mmseg")  # another test may have left mmdetection's
    check_data(load_config(config), ("train_dataloader",))


def test_work_dirs_may_be_a_link(data: Path, tmp_path: Path) -> None:
    """mmengine looks for a base from the place that was typed, not from where the link leads."""
    (tmp_path / "deep/disk").mkdir(parents=True)
    (tmp_path / "work_dirs").symlink_to(tmp_path / "deep/disk")
    (tmp_path / "classes.txt").write_text("red\ngreen\nblue\n")
    inputs = (data / "images/train", data / "masks/train", tmp_path / "classes.txt")
    words = ["tools/own_data.py", *inputs, "--first-class", 1, "--config-only"]
    words += ["--work-dir", tmp_path / "work_dirs/mine"]
    seg(*words, "--val-every", 3)
    assert load_config(tmp_path / "work_dirs/mine/config.py").own_data.first_class == 1
    done = seg(*words, "--val-every", 4, ok=False)
    assert "--val-every 4: " in sentence(done)
    assert "holds out by 3" in sentence(done)
