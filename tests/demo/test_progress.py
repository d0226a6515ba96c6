"""Tests of the progress on the terminal."""

from __future__ import annotations

import pytest

from demo import progress
from demo.progress import Progress, Step


def test_estimates_follow_the_measured_pace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    steps = Progress([Step("Train", 100), Step("Test", 50)])
    assert steps.left() == 150
    with steps.step():
        now = 60.0
        assert steps.left() == 90
        now = 220.0  # the pace is (20 + 220) / (20 + 100) = 2
    assert steps.left() == 100
    with steps.step():
        pass
    assert steps.left() == 0
    assert capsys.readouterr().out.splitlines() == [
        "[1/2] Train: about 1 min 40 s; about 2 min 30 s left in all",
        "[1/2] Train: took 3 min 40 s",
        "[2/2] Test: about 1 min 40 s; about 1 min 40 s left in all",
        "[2/2] Test: took 0 s",
    ]
