"""Tests of the comparison of training loaders."""

from __future__ import annotations

import json
import sys

from benchmarks.loader import comparison


def test_command_prints_and_writes(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "loader.json"
    monkeypatch.setattr(comparison, "SIZES", ((300, 260),))
    monkeypatch.setattr(comparison, "CROPS", 4)
    monkeypatch.setattr(sys, "argv", ["loader", "--batch", "4", "--repeats", "1", "--json", str(path)])
    comparison.main()
    out = capsys.readouterr().out
    assert "300x260, random, bytes:" in out and "300x260, bicubic, normalised:" in out
    content = json.loads(path.read_text())
    assert content["command"] == "python -m benchmarks.loader --batch 4 --repeats 1"
    assert [row["interpolation"] for row in content["rows"]] == ["random", "bicubic"]
    for row in content["rows"]:
        for form in ("timm", "ours"):
            assert row["bytes"][form]["images_per_second"] > 0
            assert row["normalised"][form]["images_per_second"] > 0
        assert row["crop"]["crops"] == 4 and row["crop"]["mean"] < 0.5
        assert row["recipe"]["mean"] < 3  # with unequal random draws the mean would be about 50
