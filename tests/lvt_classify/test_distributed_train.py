"""Training on several processes: the launch script, and results that equal those of one process."""

from __future__ import annotations

import csv
import json
import os
import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import lvt_classify
from tests.commands import TASK, run, run_ranks, train, train_command, weights
from tests.processes import errors_of_ranks

SCRIPT = Path(lvt_classify.__file__).parent / "distributed_train.sh"


def run_published(*command: object) -> None:
    run("./distributed_train.sh", 2, *command[1:])


def run_forked_ranks(*command: object) -> None:
    run_ranks(2, *command)


@pytest.mark.parametrize(
    ("start", "parts", "options"),
    [
        pytest.param(run_published, ["-b", 12], [], marks=pytest.mark.slow),
        (run_forked_ranks, ["-b", 12], []),
        (run_forked_ranks, ["-b", 6, "--grad-accum-steps", 2], ["--token-label", "--no-mix-token"]),
    ],
)
def test_two_processes_train_and_validate_as_one(
    folder: Path, tmp_path: Path, start: Callable[..., None], parts: list, options: list
) -> None:
    """Compare weights: a step of plain SGD moves them by the gradient of the joint batch.

    Three steps, because DDP's graph is static from the second on.
    """
    step = ["--opt", "momentum", "--momentum", 0, "--weight-decay", 0, "--lr", 0.3, "--sched", "none"]
    step += ["--epochs", 3, "--no-aug", *options]
    one = train(folder, tmp_path, *step, "-b", 24, name="one")
    start(*train_command(folder, tmp_path, *step, *parts, name="two"))
    two = tmp_path / "two"
    for key, value in weights(one / "last.pth.tar").items():
        torch.testing.assert_close(weights(two / "last.pth.tar")[key], value, rtol=1e-4, atol=1e-5)
    rows = []
    for out in (one, two):
        with open(out / "summary.csv", newline="") as file:
            rows.append(list(csv.DictReader(file)))
    assert len(rows[0]) == 3
    for row, other in zip(*rows, strict=True):
        assert row["eval_top1"] == other["eval_top1"]
        assert float(row["eval_loss"]) == pytest.approx(float(other["eval_loss"]), rel=1e-4)
        assert float(row["train_loss"]) == pytest.approx(float(other["train_loss"]), rel=1e-4)


@pytest.mark.parametrize(
    ("nodes", "first"), [({}, ["--standalone"]), ({"PET_NNODES": "2", "PET_MASTER_ADDR": "host0"}, [])]
)
def test_the_script_runs_torchrun_in_the_folder_of_the_user(
    tmp_path: Path, nodes: dict[str, str], first: list[str]
) -> None:
    torchrun = tmp_path / "bin" / "torchrun"
    torchrun.parent.mkdir()
    torchrun.write_text('#!/bin/sh\npwd\necho "$OMP_NUM_THREADS"\nprintf "%s\\n" "$@"\n')
    torchrun.chmod(0o755)
    environment = {"PATH": f"{torchrun.parent}{os.pathsep}{os.environ['PATH']}", **nodes}
    command = [SCRIPT, "8", "./a data", "--cfg", "./b.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    module = ["--nproc-per-node=8", "-m", "lvt_classify.train"]
    assert done.stdout.splitlines() == [str(tmp_path), "1", *first, *module, "./a data", "--cfg", "./b.py"]


def test_the_published_script_is_the_one_in_the_package() -> None:
    assert (TASK / "distributed_train.sh").resolve() == SCRIPT
    assert os.access(SCRIPT, os.X_OK)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("command", ["train", "validate", "generate_labels"])
def test_commands_run_as_modules(command: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["", "no folder"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(f"lvt_classify.{command}", run_name="__main__")
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: no folder: no such data set folder"


def test_two_processes_validate_the_statistics_that_they_save(folder: Path, tmp_path: Path) -> None:
    options = ["--model", "test_resnet", "--img-size", 32, "--epochs", 1, "-b", 4, "--lr", 0.01]
    options += ["--warmup-epochs", 0, "--workers", 0, "--output", tmp_path, "--experiment", "run"]
    run_ranks(2, "main.py", folder, *options)
    row = torch.load(tmp_path / "run" / "last.pth.tar", weights_only=True)["position"]["history"][-1]
    results = tmp_path / "results.json"
    run(
        *["validate.py", folder, "--checkpoint", tmp_path / "run" / "last.pth.tar", "--workers", 0],
        *["--results-file", results],
    )
    (result,) = json.loads(results.read_text())
    assert result["loss"] == pytest.approx(row["eval_loss"], rel=1e-5)


@pytest.mark.parametrize("command", ["main.py", "validate.py"])
def test_processes_with_other_data_are_named(command: str, folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    for split in ("train", "val"):
        next((other / split / "class_1").iterdir()).unlink()
    words = train_command if command == "main.py" else validate_command
    for error in errors_of_ranks([words(data, tmp_path / "out") for data in (folder, other)], TASK):
        assert "error: process 1 has images" in error
        assert "all processes need the same data and options" in error


def validate_command(folder: Path, output: Path) -> list[object]:
    return ["validate.py", folder, "--model", "lvt_cls", "--img-size", 32, "--num-classes", 3, "--workers", 0]
