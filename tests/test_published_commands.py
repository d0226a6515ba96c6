"""The dense commands as published run from either task folder; without data they end in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import ROOT, run, sentence

FOLDERS = ("segmentation", "detection")
SEGFORMER = "local_configs/lvt/segformer.lvt.512x512.ade.160k.py"
PANOPTIC = "configs/lvt/panoptic_fpn_lvt_fpn_3x_coco.py"
MISSING = {SEGFORMER: "data/ade/ADEChallengeData2016/", PANOPTIC: "data/coco/"}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("config", [SEGFORMER, PANOPTIC])
def test_train(folder: str, config: str, tmp_path: Path) -> None:
    done = run("tools/train.py", config, "--work-dir", tmp_path, task=ROOT / folder, ok=False)
    assert MISSING[config] in sentence(done)
    assert "is not a folder; --data-root names another place" in sentence(done)


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(
    "config, words",
    [
        (SEGFORMER, ["./checkpoints/segformer_lvt_ade20k.pth", "--eval", "mIoU"]),
        (PANOPTIC, ["checkpoints/panoptic_fpn_lvt_fpn_coco.pth", "--eval", "PQ"]),
    ],
)
def test_test(folder: str, config: str, words: list[str], tmp_path: Path) -> None:
    command = ["tools/test.py", config, *words, "--work-dir", tmp_path]
    assert MISSING[config] in sentence(run(*command, task=ROOT / folder, ok=False))


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("config", [SEGFORMER, PANOPTIC])
def test_scripts_of_several_processes(folder: str, config: str, tmp_path: Path) -> None:
    """With one process instead of eight, which machines of any size have."""
    options = ["--work-dir", tmp_path]
    done = run("./tools/dist_train.sh", config, 1, *options, task=ROOT / folder, ok=False)
    assert MISSING[config] in done.stdout + done.stderr
    words = ["bash", "tools/dist_test.sh", config, "checkpoints/x.pth", 1, "--work-dir", tmp_path]
    done = run(*words, task=ROOT / folder, ok=False)
    assert MISSING[config] in done.stdout + done.stderr
