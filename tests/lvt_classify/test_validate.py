"""validate.py, run as a user runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import timm
import torch

import lvt_core
from tests.commands import SMALL, run, train
from tests.golden_values import state_dict

KWARGS = ["--model-kwargs", *SMALL]
COMMON = ["--img-size", 32, "-b", 4, "--workers", 0, "--device", "cpu"]


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory) -> Path:
    return train(folder, tmp_path_factory.mktemp("runs"), "--model-ema")


def test_one_checkpoint(folder: Path, trained: Path, tmp_path: Path) -> None:
    done = run(
        *["validate.py", folder, "--checkpoint", trained / "last.pth.tar", *COMMON, *KWARGS],
        *["--results-file", tmp_path / "r.json", "--predictions-file", tmp_path / "p.csv"],
    )
    (result,) = json.loads((tmp_path / "r.json").read_text())
    assert result["samples"] == 15  # the last batch has 3
    with open(tmp_path / "p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    hits = sum(row["label"] == row["prediction"] for row in rows)
    assert result["top1"] == pytest.approx(100 * hits / 15)
    assert {row["file"].split("/")[0] for row in rows} == {"class_0", "class_1", "class_2"}
    assert all(row["label_name"] == row["file"].split("/")[0] for row in rows)
    assert "parameters" in done.stderr
    assert "GMACs" in done.stderr
    assert "images per second" in done.stderr
    with open(trained / "summary.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert "the moving average of its weights" in done.stderr  # the run ranked its checkpoints by it
    assert result["top1"] == pytest.approx(float(last["ema_top1"]))
    assert result["loss"] == pytest.approx(float(last["ema_loss"]), rel=1e-5)
    done = run(
        *["validate.py", folder, "--checkpoint", trained / "last.pth.tar", *COMMON, "--no-use-ema"],
        *["--results-file", tmp_path / "r.json"],
    )
    assert "its weights, not their moving average" in done.stderr
    (result,) = json.loads((tmp_path / "r.json").read_text())
    assert result["loss"] == pytest.approx(float(last["eval_loss"]), rel=1e-5)


def test_metrics_do_not_depend_on_the_batches(folder: Path, trained: Path, tmp_path: Path) -> None:
    results = []
    for batch_size in (1, 4, 15, 64):
        run(
            *["validate.py", folder, "--checkpoint", trained / "last.pth.tar", *COMMON, *KWARGS],
            *["-b", batch_size, "--use-ema", "--results-file", tmp_path / "r.json"],
        )
        results.append(json.loads((tmp_path / "r.json").read_text())[0])
    for result in results[1:]:
        assert (result["top1"], result["top5"]) == (results[0]["top1"], results[0]["top5"])
        assert result["loss"] == pytest.approx(results[0]["loss"], rel=1e-5)


def test_a_folder_of_checkpoints(folder: Path, trained: Path, tmp_path: Path) -> None:
    run(
        *["validate.py", folder, "--checkpoint", trained, *COMMON, *KWARGS],
        *["--results-file", tmp_path / "r.csv"],
    )
    with open(tmp_path / "r.csv", newline="") as file:
        names = [Path(row["checkpoint"]).name for row in csv.DictReader(file)]
    assert names == sorted(names)
    assert {"last.pth.tar", "model_best.pth.tar"} <= set(names)


@pytest.mark.parametrize("dynamic", [False, True])
def test_an_exported_program(folder: Path, tmp_path: Path, dynamic: bool) -> None:
    kwargs = {"depths": (1,) * 4, "embed_dims": (8, 8, 16, 16), "num_heads": (2,) * 4}
    model = timm.create_model("lvt_cls", num_classes=3, **kwargs).eval()
    lvt_core.save_checkpoint(model, tmp_path / "a.pth")
    batch = {0: torch.export.Dim("batch", min=1, max=64)} if dynamic else None
    program = torch.export.export(model, (torch.randn(4, 3, 32, 32),), dynamic_shapes=(batch,))
    torch.export.save(program, tmp_path / "b.pt2")
    run(
        *["validate.py", folder, "--checkpoint", tmp_path, "--trust", *COMMON, *KWARGS],
        *["--results-file", tmp_path / "r.json"],
    )
    eager, exported = json.loads((tmp_path / "r.json").read_text())
    assert exported["samples"] == eager["samples"] == 15
    assert exported["crop_pct"] == eager["crop_pct"] == 0.96
    assert exported["loss"] == pytest.approx(eager["loss"], rel=1e-5)


def test_the_published_command_on_real_images(shared_data: Path, tmp_path: Path) -> None:
    """Validate a checkpoint in the original format with the golden weights: chance on ImageNet."""
    torch.save({"state_dict": state_dict("lvt_cls_state_dict")}, tmp_path / "lvt_imagenet.pth.tar")
    done = run(
        *["validate.py", shared_data / "imagenet_1000_samples", "--model", "lvt_cls"],
        *["--checkpoint", tmp_path / "lvt_imagenet.pth.tar", "--no-test-pool", "--apex-amp"],
        *["--img-size", 64, "-b", 128, "--cfg", "./configs/lvt_imagenet.py", "--workers", 0],
        *["--results-file", tmp_path / "r.json"],
    )
    (result,) = json.loads((tmp_path / "r.json").read_text())
    assert result["samples"] == 1000
    assert result["top1"] <= 1.0
    assert result["params"] == 5_521_844
    assert "top-1" in done.stderr
