"""Test of the whole tour in its smallest form, with the real commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo.commands import ROOT

SMALLEST = (
    "--processes 1 --scan-step 60 --train-per-scan 1 --epochs 1 --max-iters 40 --max-epochs 1 "
    "--train-scenes 4 --val-scenes 2 --panoptic-train-scenes 4 --panoptic-val-scenes 2"
)


@pytest.mark.slow
def test_smallest_tour(tmp_path: Path) -> None:
    tour = [sys.executable, "-m", "demo.run", "--out", str(tmp_path), *SMALLEST.split()]
    done = subprocess.run(tour, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("[7/7]") == 2 and f"Finished: open {tmp_path}/index.html" in done.stdout
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics) == {"top1", "miou", "pq", "pq_things", "pq_stuff"}
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "panoptic segments</figcaption>" in page and "not run" not in page and "refresh" not in page
    picture = [sys.executable, "-m", "demo.picture", str(tmp_path / "tour.png"), "--out", str(tmp_path)]
    subprocess.run(picture, cwd=ROOT, check=True)
    assert (tmp_path / "tour.png").is_file()
