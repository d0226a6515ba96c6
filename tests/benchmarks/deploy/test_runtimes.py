"""Tests of the comparison of exported files with the eager forms of the same model."""

from __future__ import annotations

import json
import sys

from benchmarks.deploy import runtimes
from lvt_core import cli


def test_command_prints_and_writes(tmp_path, monkeypatch, capsys) -> None:
    folder, path = tmp_path / "file", tmp_path / "a.json"
    cli.main(["export", "lvt", "--to", "pt2", "--size", "32", "--output", str(folder)])
    monkeypatch.setattr(
        sys, "argv", ["runtimes", str(folder), "--trust", "--repeats", "1", "--json", str(path)]
    )
    monkeypatch.setattr(runtimes.os, "sched_setaffinity", lambda *_: None)
    runtimes.main()
    out = capsys.readouterr().out
    assert "lvt, eager:" in out and "lvt, file:" in out and "x the limit" in out
    (row,) = json.loads(path.read_text())["rows"]
    assert row["model"] == "lvt" and all(row[form]["ms"] > 0 for form in ("literal", "eager", "file"))
