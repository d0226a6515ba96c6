"""Tests of the table of exported networks, and of memory and fresh environments."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from benchmarks.deploy import fresh_environments, table
from benchmarks.deploy.process_memory import process_memory
from benchmarks.deploy.tasks import ImageTask
from lvt_core import cli, save_checkpoint
from lvt_core.errors import UserError


@pytest.fixture
def task(tmp_path: Path) -> ImageTask:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("a", "b"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / "0.png")
    torch.manual_seed(0)
    save_checkpoint(timm.create_model("lvt_cls", num_classes=2), tmp_path / "a.pth")
    return ImageTask(
        "lvt_cls",
        32,
        checkpoint=tmp_path / "a.pth",
        data=tmp_path / "data",
        judged_side=32,
        limit=None,
    )


def test_task_is_measured_and_printed(task: ImageTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(*_: object) -> None:
        raise UserError("pt2 rejects it")

    monkeypatch.setattr(table, "process_memory", lambda folder, trust: 123.0)
    monkeypatch.setattr(task, "eager_memory", lambda: 456.0)
    (literal, eager, row) = table.measure(task, ["pt2"], ["fp32", "int8"], repeats=1)
    assert literal["ms"] > 0 and eager["ms"] > 0 and eager["peak_mb"] == 456
    assert row["worst"] < 1e-5 and row["megabytes"] > 20 and row["peak_mb"] == 123 and row["ms"] > 0
    assert row["scores"]["metric"] == "top-1" and row["scores"]["agreement"] == 100
    monkeypatch.setattr(task, "convert", reject)
    rejected = table.measure(task, ["pt2"], ["fp32"], repeats=1)[-1]
    text = table.table("a title", [literal, eager, row, rejected])
    assert "**a title**" in text and f"| {row['megabytes']:.1f} |" in text
    assert "| pt2 | fp32 |  | pt2 rejects it |" in text


@pytest.mark.slow
def test_exported_file_runs_without_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    words = ["export", "lvt", "--to", "onnx", "--size", "32", "--output", str(tmp_path / "file")]
    cli.main(words)
    exported, eager = (
        process_memory(str(tmp_path / "file"), "--trust"),
        process_memory("--eager", "lvt", "--size", "32"),
    )
    assert 30 < exported < eager
    monkeypatch.setattr(fresh_environments, "fresh_environment", lambda *_: Path(sys.executable))
    monkeypatch.setattr(sys, "argv", ["fresh_environments", "--runtimes", "onnx", "--size", "32"])
    fresh_environments.main()
    assert "gives the recorded outputs" in capsys.readouterr().out
