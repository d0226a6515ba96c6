"""Tests of the tour's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import run
from demo.part import Job


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-iters", "39"], "--max-iters 39: must be 40 or more"),
        (["--epochs", "0"], "--epochs 0: must be 1 or more"),
        (["--max-epochs", "0"], "--max-epochs 0: must be 1 or more"),
        (["--processes", "0"], "--processes 0: must be 1 or more"),
        (["--train-scenes", "0"], "train=0: must be 1 or more"),
        (["--tasks", "detection"], "--tasks detection: requires a trained segmentor in"),
    ],
)
def test_rejects_wrong_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run.main(["--out", str(tmp_path / "out"), *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_options_reach_the_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[dict[str, Job]] = []
    (tmp_path / "metrics.json").write_text('{"top1": 91.25}')
    monkeypatch.setattr(run, "run_tour", lambda jobs: calls.append(jobs) or tmp_path / "index.html")
    options = "--tasks classification detection --epochs 7 --max-epochs 3 --processes 1 --seed 4"
    assert run.main(["--out", str(tmp_path), *options.split(), "--panoptic-train-scenes", "9"]) == 0
    assert capsys.readouterr().out.startswith("top1 91.2 %\nFinished: open ")
    (jobs,) = calls
    assert list(jobs) == ["classification", "detection"]
    assert (jobs["classification"].length, jobs["detection"].length) == (7, 3)
    assert {job.processes for job in jobs.values()} == {1}
    assert {job.data_set.seed for job in jobs.values()} == {4}
    assert jobs["detection"].data_set.count("train") == 9
