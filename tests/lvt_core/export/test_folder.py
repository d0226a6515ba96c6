"""The folder of an export: what cannot be one is refused before anything is converted."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from lvt_core import cli
from lvt_core.errors import UserError
from lvt_core.export import Export, Job, Runtime, command, export_model
from lvt_core.export.folder import LONGEST_NAME, require_replaceable, told_what_cannot_be_written


def test_what_cannot_be_an_exports_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    Path("dangling").symlink_to("nowhere")
    Path("full").mkdir()
    Path("full", "thesis.txt").write_text("mine")
    for name, message in (
        *((name, "holds the folder that you are in") for name in (".", "", "/", "..", "folder/..")),
        *((name, "is a link; name the folder itself") for name in ("link", "dangling", "link/")),
        ("a" * 300, "--output"),
        ("a" * (LONGEST_NAME + 1), "--output: its name has 241 bytes, allowed are 240"),
        ("/".join(["a" * 200] * 40), "--output .*: cannot be written"),
        ("full", "is there already and is no export alone"),
    ):
        with pytest.raises(UserError, match=message):
            require_replaceable(Path(name))
    for name in ("folder", "new", "a" * LONGEST_NAME, "deep/new"):
        require_replaceable(Path(name))

    def convert(*_: object, **__: object) -> None:
        raise AssertionError("it must be refused first")

    monkeypatch.setattr(command, "export_model", convert)
    for name in ("", "dangling", "full"):
        with pytest.raises(UserError, match=f"--output {name or '.'}: "):
            cli.main(["export", "lvt", "--to", "pt2", "--output", name])
    panoptic = ["--task", "panoptic", "--config", "nowhere.py"]
    with pytest.raises(UserError, match="--output dangling: is a link"):
        cli.main(["export", "nowhere.pth", *panoptic, "--to", "pt2", "--output", "dangling"])


def test_a_search_asks_for_its_folders_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("no folder")
    words = ["export", "lvt_cls", "--to", "onnx", "--precision", "int8", "--data", ".", "--search"]
    for search, output, message in (
        ("a.json", "file/out", "cannot write into the output folder file: "),
        ("out/a.json", "out", "--search out/a.json: must lie outside of --output out"),
    ):
        with pytest.raises(UserError, match=message):
            cli.main([*words, search, "--output", output])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOENT])
def test_a_full_disk_is_told(number: int, tmp_path: Path) -> None:
    def convert(job: Job, file: Path) -> None:
        raise OSError(number, "as the system says", str(file))

    runtime = Runtime("pt2", "model.pt2", ("torch",), convert, False)
    # What is not there is a converter's mistake, and no user's.
    expected, message = (
        (OSError, "as the system") if number == errno.ENOENT else (UserError, "--output .*out: ")
    )
    with pytest.raises(expected, match=message):
        export_model(nn.Conv2d(3, 3, 1), Export("lvt", (32, 32)), runtime, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [], "nothing is left"


@pytest.mark.parametrize("free", [0, 2**30])
def test_writers_that_do_not_say_why(free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    expected, message = (
        (RuntimeError, "a writer") if free else (UserError, "a: cannot be written: the disk is")
    )
    with pytest.raises(expected, match=message), told_what_cannot_be_written(tmp_path / "a"):
        raise RuntimeError("a writer in C++")
