"""The folder of an export: a wrong one is rejected before anything is converted."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from lvt_core import cli
from lvt_core.errors import UserError
from lvt_core.export import Export, Job, Runtime, export_model
from lvt_core.export.folder import LONGEST_NAME, report_unwritable, require_replaceable


def test_what_cannot_be_an_exports_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    Path("dangling").symlink_to("nowhere")
    Path("full").mkdir()
    Path("full", "thesis.txt").write_text("mine")
    for name, message in (
        *((name, "contains the current folder") for name in (".", "", "/", "..", "folder/..")),
        *((name, "is a link; name the folder itself") for name in ("link", "dangling", "link/")),
        ("a" * 300, "--output"),
        ("a" * (LONGEST_NAME + 1), "--output: its name has 241 bytes, allowed are 240"),
        ("/".join(["a" * 200] * 40), "--output .*: cannot be written"),
        ("full", "already exists, and not only as an export"),
    ):
        with pytest.raises(UserError, match=message):
            require_replaceable(Path(name))
    for name in ("folder", "new", "a" * LONGEST_NAME, "deep/new"):
        require_replaceable(Path(name))

    for name in ("", "dangling", "full"):  # before anything is opened or converted
        with pytest.raises(UserError, match=f"--output {name or '.'}: "):
            cli.main(["export", "lvt", "--to", "pt2", "--output", name])
    panoptic = ["--task", "panoptic", "--config", "nowhere.py"]
    with pytest.raises(UserError, match="--output dangling: is a link"):
        cli.main(["export", "nowhere.pth", *panoptic, "--to", "pt2", "--output", "dangling"])


def test_a_search_checks_its_output_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("not a folder")
    words = ["recipe", "lvt_cls", "--to", "onnx", "--data", "."]
    with pytest.raises(UserError, match="cannot write into the output folder file: "):
        cli.main([*words, "--output", "file/a.json"])
    with pytest.raises(UserError, match="--output .: is a folder; name a file"):
        cli.main([*words, "--output", "."])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOENT])
def test_reports_a_full_disk(number: int, tmp_path: Path) -> None:
    def convert(job: Job, file: Path) -> None:
        raise OSError(number, "as the system says", str(file))

    runtime = Runtime("pt2", "model.pt2", ("torch",), convert, False)
    # A missing file is the converter's mistake, not the user's.
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
    with pytest.raises(expected, match=message), report_unwritable(tmp_path / "a"):
        raise RuntimeError("a writer in C++")
