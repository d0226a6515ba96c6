"""Exported programs of PyTorch may run code when they are opened: each door asks for `--trust` first."""

from __future__ import annotations

import io
import logging
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lvt_core
from lvt_classify.validate import find_checkpoints
from lvt_core import cli
from lvt_core.errors import UserError
from lvt_core.export import RUNTIMES, Export, export_model
from lvt_predict import load, sample
from lvt_predict.photo import command
from tests.commands import ROOT, run, write_folder
from tests.small import renew_checksums

EXPORT = Export("lvt_cls", (32, 32), outputs="logits", num_classes=4)


class Touch:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "trap"


@pytest.fixture
def folder(tmp_path: Path, trap: Path) -> Path:
    """Return an export whose sample inputs are code."""
    folder = tmp_path / "export"
    export_model(nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten()), EXPORT, RUNTIMES["pt2"], folder)
    file, poisoned = folder / "model.pt2", io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(poisoned, "w") as target:
        for item in source.infolist():
            data = source.read(item)
            if "sample_inputs" in item.filename:
                buffer = io.BytesIO()
                torch.save(Touch(trap), buffer)
                data = buffer.getvalue()
            target.writestr(item, data)
    file.write_bytes(poisoned.getvalue())
    return renew_checksums(folder)


DOORS: dict[str, Callable[[Path], object]] = {
    "lvt_predict.load": load,
    "lvt_core.load": lvt_core.load,
    "lvt_predict.sample": lambda folder: sample.main([str(folder)]),
    "lvt-predict": lambda folder: command.main([str(ROOT / "docs/images/tour.png"), "--with", str(folder)]),
    "lvt predict": lambda folder: cli.main(
        ["predict", str(ROOT / "docs/images/tour.png"), "--with", str(folder)]
    ),
}


def test_the_attack_works(folder: Path, trap: Path) -> None:
    """Without this, the other tests would prove nothing."""
    with pytest.raises(UserError):
        load(folder, trust=True)
    assert trap.exists()


@pytest.mark.parametrize("door", DOORS)
def test_no_door_opens_it(door: str, folder: Path, trap: Path) -> None:
    with pytest.raises(UserError, match=r"a pt2 file may run code when it is opened; .* pass --trust"):
        DOORS[door](folder)
    assert not trap.exists()


def test_validation_opens_no_program(
    folder: Path, trap: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    shutil.copy(folder / "model.pt2", checkpoints)
    (checkpoints / "a.pth").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert find_checkpoints(str(checkpoints)) == [str(checkpoints / "a.pth")]
    assert "left out 'model.pt2', which may run code" in caplog.text
    assert len(find_checkpoints(str(checkpoints), trust=True)) == 2
    data = write_folder(tmp_path / "data", train=1, val=1)
    done = run("validate.py", data, "--checkpoint", folder / "model.pt2", ok=False)
    assert "model.pt2: a pt2 file may run code when it is opened" in done.stderr and not trap.exists()
