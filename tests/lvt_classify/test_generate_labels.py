"""generate_labels.py: label maps of a teacher, which training reads."""

from __future__ import annotations

from pathlib import Path

import timm
import torch

import lvt_core
from tests.commands import run, sentence, train


def test_labels_are_made_resumed_and_trained_with(folder: Path, tmp_path: Path) -> None:
    teacher = timm.create_model("lvt_cls", num_classes=3)
    lvt_core.save_checkpoint(teacher, tmp_path / "teacher.pth")
    command = [
        *["generate_labels.py", folder, "--model", "lvt_cls", "--checkpoint", tmp_path / "teacher.pth"],
        *["--num-classes", 3, "--img-size", 96, "--map-size", 6, "--labels", tmp_path / "labels"],
        *["-b", 5, "--workers", 0],
    ]
    run(*command)
    maps = sorted((tmp_path / "labels").rglob("*.pt"))
    assert len(maps) == 24
    label = torch.load(maps[0], weights_only=True)
    assert label.shape == (2, 3, 6, 6)  # three classes: fewer than five are kept
    assert label.dtype == torch.float16
    assert maps[0].stat().st_size < 4000  # its own values, not the batch
    assert (label[0].diff(dim=0) <= 0).all()
    maps[3].unlink()
    before = [path.stat().st_mtime_ns for path in maps[:3]]
    assert "1 images to label, 23 done before" in run(*command).stderr
    assert [path.stat().st_mtime_ns for path in maps[:3]] == before
    train(folder, tmp_path, "--epochs", 1, "--token-label", "--token-label-data", tmp_path / "labels")


def test_a_teacher_without_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    done = run("generate_labels.py", folder, "--model", "lvt_cls", "--labels", tmp_path, ok=False)
    assert "No pretrained weights exist" in sentence(done)
