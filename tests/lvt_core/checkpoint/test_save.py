"""Saving and converting: files are whole, of every kind, in both layouts."""

from __future__ import annotations

import os

import pytest
import torch

from lvt_core import (
    LVT,
    CheckpointError,
    LVTClassifier,
    load_checkpoint,
    save_checkpoint,
)
from lvt_core.checkpoint import convert_checkpoint
from lvt_core.checkpoint.read import read_checkpoint
from lvt_core.errors import UserError
from tests.golden_values import golden, state_dict
from tests.lvt_core.checkpoint.models import equal, small


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".pt", ".safetensors"])
def test_files(tmp_path, suffix: str) -> None:
    source, model = LVTClassifier(small()), LVTClassifier(small())
    save_checkpoint(source, tmp_path / f"a{suffix}")
    load_checkpoint(model, tmp_path / f"a{suffix}")
    assert equal(model.state_dict(), source.state_dict())
    assert os.listdir(tmp_path) == [f"a{suffix}"]


def test_conversion_in_both_directions(tmp_path) -> None:
    original = state_dict("lvt_cls_state_dict")
    torch.save({"state_dict": original}, tmp_path / "o.pth.tar")
    convert_checkpoint(tmp_path / "o.pth.tar", tmp_path / "ours.safetensors", to="lvt")
    convert_checkpoint(tmp_path / "ours.safetensors", tmp_path / "back.pth", to="original")
    assert equal(read_checkpoint(tmp_path / "back.pth"), original)
    convert_checkpoint(tmp_path / "o.pth.tar", tmp_path / "b.pth", to="original", backbone=True)
    shapes = {k: list(v.shape) for k, v in read_checkpoint(tmp_path / "b.pth").items()}
    assert shapes == golden()["lvt_backbone_state_dict"]
    convert_checkpoint(tmp_path / "o.pth.tar", tmp_path / "c.pth", to="lvt", backbone=True)
    LVT().load_state_dict(read_checkpoint(tmp_path / "c.pth"))
    with pytest.raises(CheckpointError, match="to='other': must be one of lvt, original"):
        convert_checkpoint(tmp_path / "o.pth.tar", tmp_path / "x.pth", to="other")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(LVT(small()), path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"cannot write .*a\.pth: No space left on device"):
        save_checkpoint(LVT(small()), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.pth"]
