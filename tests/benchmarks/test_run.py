"""Tests of the table of all targets on a CPU."""

from __future__ import annotations

import json
import sys

from benchmarks import run


def _row(ours: float, literal: float, **others: object) -> dict:
    return {"ours": {"ms": ours, "peak_mb": ours}, "literal": {"ms": literal, "peak_mb": literal}, **others}


def test_prints_a_line_per_target(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(run.models, "measure", lambda case, repeats: _row(2.0, 3.0, limit_ms=1.5))
    monkeypatch.setattr(run.token_labels, "measure", lambda batch, repeats: [_row(1.0, 20.0, part="loss")])
    loaders = {"bytes": {"ours": {"ms": 1.0}, "timm": {"ms": 1.6}}}
    monkeypatch.setattr(run.loader, "measure", lambda *_: loaders)
    path = tmp_path / "run.json"
    monkeypatch.setattr(sys, "argv", ["run", "--data-root", "a/photos", "--json", str(path)])
    run.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == 14
    assert "| lvt_cls 224, inference, batch 1, time | 1.50 | 1.5 | met " in lines[0]
    assert "| lvt_cls 224, compiled, batch 1, time | 1.50 | 1.8 | missed " in lines[2]
    assert "limit of 1.5 ms | 0.75 | 0.625 | met " in lines[3]
    assert "| token labels, batch 128, target and loss: memory | 20.00 | 10 | met " in lines[10]
    assert "| training loader, photos, images/s | 1.60 | 1.5 | met " in lines[13]
    rows = json.loads(path.read_text())["rows"]
    assert [row["met"] for row in rows].count(False) == 4  # compiled, packaged, both of segformer
    assert all(row["command"].startswith("python -m benchmarks.") for row in rows)
