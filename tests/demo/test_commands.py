"""Tests of the calls of the repository's commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.commands import CommandFailed, Task


def _task(root: Path, script: str) -> Task:
    (root / "classification").mkdir()
    (root / "classification" / "main.py").write_text(script)
    return Task("classification", root)


def test_output_goes_to_the_log_after_the_command(tmp_path: Path) -> None:
    task = _task(tmp_path, "import os; print('hello from', os.path.basename(os.getcwd()))")
    task.call(["python", "main.py", "--x", "a b"], tmp_path / "out" / "train.log")
    lines = (tmp_path / "out" / "train.log").read_text().splitlines()
    assert lines == ["$ cd classification && python main.py --x 'a b'", "hello from classification"]


def test_calls_back_while_it_waits(tmp_path: Path) -> None:
    calls: list[int] = []
    task = _task(tmp_path, "import time; time.sleep(1.2)")
    task.call(["python", "main.py"], tmp_path / "train.log", wait=lambda: calls.append(1))
    assert calls


@pytest.mark.parametrize(
    ("script", "code"),
    [("raise SystemExit(3)", 3), ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143)],
)
def test_a_failing_command_shows_the_end_of_its_log(tmp_path: Path, script: str, code: int) -> None:
    task = _task(tmp_path, f"print('a reason', flush=True); {script}")
    with pytest.raises(
        CommandFailed, match=rf"a reason\nThe command classification/main\.py failed with exit code {code}\."
    ) as failure:
        task.call(["python", "main.py"], tmp_path / "train.log")
    assert failure.value.code == code
