"""One run at a time writes into a folder; a killed run leaves no lock and no unfinished files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lvt_core.errors import UserError
from lvt_core.runs.live_folder import live_folder
from tests.holding import held


def test_another_process_is_kept_out_until_the_first_one_dies(tmp_path: Path) -> None:
    with held(tmp_path) as holder:
        message = f"process {holder.pid} on .* writes into it; wait for its end"
        with pytest.raises(UserError, match=message), live_folder(tmp_path, ("*.pth",)):
            pass
        holder.kill()
        holder.wait()
        with live_folder(tmp_path, ("*.pth",)):  # although its worker lives
            assert f"process {os.getpid()}" in (tmp_path / ".lock").read_text()


def test_only_unfinished_files_of_the_run_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    unfinished = [tmp_path / ".last.pth.abcd_123", tmp_path / "a" / ".b.pt.12345678"]
    others = [tmp_path / "last.pth", tmp_path / ".last.pth.txt", tmp_path / ".b.csv.12345678"]
    others.append(tmp_path / "a" / ".b.pth.12345678")  # another run, which might be live
    for path in (*unfinished, *others):
        path.touch()
    with live_folder(tmp_path, ("*.pth", "**/*.pt")):
        assert not any(path.exists() for path in unfinished) and all(path.exists() for path in others)
    with live_folder(tmp_path, ()):  # a second time in one process
        pass


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_the_lock_never_writes_anywhere_else(kind: str, tmp_path: Path) -> None:
    """A folder from elsewhere might have a link to a file of the user in the place of the lock."""
    target, lock = tmp_path / "diary.txt", tmp_path / "run" / ".lock"
    lock.parent.mkdir()
    target.write_text("mine")
    make = {"link": lambda: lock.symlink_to(target), "pipe": lambda: os.mkfifo(lock), "folder": lock.mkdir}
    make[kind]()
    with (
        pytest.raises(UserError, match="cannot write .*run/.lock: .*; remove it"),
        live_folder(lock.parent, ()),
    ):
        pass
    assert target.read_text() == "mine"


def test_only_the_owner_locks(tmp_path: Path) -> None:
    with held(tmp_path), live_folder(tmp_path, (), owner=False):
        pass
