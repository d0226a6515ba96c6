"""Files and folders are whole or absent; an earlier one stays until the new one is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvt_core.errors import UserError
from lvt_core.files import new_folder, require_writable_folder, write_text, write_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "made/a.txt"
    write_text(path, "old")

    def fail(file) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left on device"):
        write_whole(path, fail)
    assert [each.read_text() for each in path.parent.iterdir()] == ["old"]


def test_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "whole", "")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_new_folder_replaces_the_old_one_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for text in ("first", "second"):
        with new_folder(path) as work:
            assert list(work.iterdir()) == []
            (work / text).write_text(text)
            assert not (path / text).exists()
        assert [each.name for each in path.iterdir()] == [text]
    with pytest.raises(KeyboardInterrupt), new_folder(path):
        raise KeyboardInterrupt
    assert [each.name for each in path.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [path]


def test_rejects_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    assert require_writable_folder(tmp_path / "a/b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write into the output folder .*file: File exists"):
        require_writable_folder(tmp_path / "file")
