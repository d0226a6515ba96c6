"""A signal ends a dense training with an exit status of its own; the same command continues it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.commands import ROOT
from tests.processes import start, stopped
from tests.soak.trainers import TRAINERS, read_run


def prepared(task: str, folder: Path) -> tuple[list[str], Path]:
    """Return the command of a training, and the folder of its run."""
    (folder / "data").mkdir()
    words = TRAINERS[task].prepare(folder / "data")
    return [word.replace("RUN", str(folder / "run")) for word in words], folder / "run"


def finish(words: list[str], task: str) -> None:
    """Run a command to its end."""
    process = start(words, ROOT / task)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_schedule_of_iterations_is_saved(number: int, tmp_path: Path) -> None:
    words, run = prepared("segmentation", tmp_path)
    rest = stopped(words, ROOT / "segmentation", after="Iter(train) [ 2/", number=number)
    (saved,) = run.glob("iter_*.pth")
    assert f"{saved.name} is saved; --resume continues the run" in rest and saved.name != "iter_48.pth"
    assert read_run(saved)["meta"]["iter"] == int(saved.stem.split("_")[1])
    finish(words, "segmentation")
    assert (run / "iter_48.pth").exists()


@pytest.mark.slow
def test_a_stopped_schedule_of_epochs_continues_from_its_last_whole_one(tmp_path: Path) -> None:
    words, run = prepared("detection", tmp_path)
    rest = stopped(words, ROOT / "detection", after="Epoch(train)  [2]", number=signal.SIGTERM)
    assert "--resume continues the run from its last whole epoch" in rest
    assert TRAINERS["detection"].position(run) > (0, 0)
    finish(words, "detection")
    assert (run / "epoch_10.pth").exists()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_a_run_killed_in_its_last_validation_gets_its_best_checkpoint(task: str, tmp_path: Path) -> None:
    words, run = prepared(task, tmp_path)
    finish([*words, "--no-validate"], task)
    assert not list(run.glob(TRAINERS[task].best)) and list(run.glob(TRAINERS[task].final))
    finish(words, task)
    assert len(list(run.glob(TRAINERS[task].best))) == 1
