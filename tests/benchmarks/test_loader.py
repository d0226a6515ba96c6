"""The loaders' benchmark compares the same augmentation, and reports what it measured."""

from __future__ import annotations

import json
import sys

from benchmarks import loader


def test_command_prints_and_writes(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "loader.json"
    monkeypatch.setattr(loader, "SIZES", ((300, 260),))
    monkeypatch.setattr(loader, "CROPS", 4)
    monkeypatch.setattr(sys, "argv", ["loader", "--batch", "4", "--repeats", "1", "--json", str(path)])
    loader.main()
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
        assert row["recipe"]["mean"] < 3  # other draws would be some 50 apart
