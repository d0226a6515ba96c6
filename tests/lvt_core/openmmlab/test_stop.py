"""A signal ends a dense training with an exit status of its own; the same command continues it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.trainers import ROOT, TRAINERS, read_run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "number", "status"),
    [
        ("segmentation", signal.SIGTERM, 143),
        ("segmentation", signal.SIGINT, 130),
        ("detection", signal.SIGTERM, 143),
    ],
)
def test_a_stopped_run_can_be_continued(task: str, number: int, status: int, tmp_path: Path) -> None:
    trainer, run = TRAINERS[task], tmp_path / "run"
    (tmp_path / "data").mkdir()
    words = [word.replace("RUN", str(run)) for word in trainer.prepare(tmp_path / "data")]

    def start() -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT / task,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    process, seen = start(), ""
    assert process.stdout is not None
    first = "Iter(train) [ 2/" if task == "segmentation" else "Epoch(train)  [2]"
    while first not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    process.send_signal(number)
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == status, seen + rest
    assert f"stopped by {signal.Signals(number).name} after iteration" in rest and "Traceback" not in rest
    assert trainer.position(run) > (0, 0)
    if task == "segmentation":
        (saved,) = run.glob("iter_*.pth")
        assert f"{saved.name} is saved" in rest and saved.name != "iter_48.pth"
        assert read_run(saved)["meta"]["iter"] == int(saved.stem.split("_")[1])
    process = start()
    rest = process.communicate(timeout=240)[0]
    assert process.returncode == 0, rest
    assert len(list(run.glob(trainer.final))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_a_run_that_was_killed_in_its_last_validation_has_a_best_checkpoint(
    task: str, tmp_path: Path
) -> None:
    trainer, run = TRAINERS[task], tmp_path / "run"
    (tmp_path / "data").mkdir()
    words = [word.replace("RUN", str(run)) for word in trainer.prepare(tmp_path / "data")]
    command, options = [sys.executable, *words], {"cwd": ROOT / task, "capture_output": True, "text": True}
    subprocess.run([*command, "--no-validate"], check=True, **options)  # type: ignore[call-overload]
    assert not list(run.glob(trainer.best)) and list(run.glob(trainer.final))
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]
    assert len(list(run.glob(trainer.best))) == 1
