"""Scaling is measured on real processes; the model is arithmetic, and the documented table is its output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.scaling_model import GRADIENT_BYTES, LoaderModel, NetworkModel, bytes_per_step, step, table
from lvt_core import LVTClassifier

DOCS = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_command_measures_two_processes(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "scaling.json"
    words = ["--ranks", "1", "2", "--batch", "2", "--size", "32", "--repeats", "2"]
    monkeypatch.setattr(sys, "argv", ["scaling", *words, "--json", str(path)])
    scaling.main()
    out = capsys.readouterr().out
    assert "2 ranks:" in out and "of the cores" in out
    content = json.loads(path.read_text())
    assert content["command"].endswith(" ".join(words)) and content["cores"] >= 1
    one, two = content["rows"]
    assert one["bytes_per_step"] == 0 and two["bytes_per_step"] == two["gradient_bytes"] == GRADIENT_BYTES
    for form in ("no exchange", "one bucket", "overlapped", "exchange alone"):
        assert len(two[form]["ms_all"]) == 2 and two[form]["ms_best"] == min(two[form]["ms_all"])


def test_the_model_counts_the_gradients_that_there_are() -> None:
    assert sum(p.numel() for p in LVTClassifier().parameters()) * 4 == GRADIENT_BYTES
    assert bytes_per_step(1) == 0
    assert bytes_per_step(4) == pytest.approx(1.5 * GRADIENT_BYTES)


def test_the_model_names_what_is_waited_for() -> None:
    fast, slow = NetworkModel(), NetworkModel(node_gbytes=0.1)
    loader = LoaderModel(images_per_core=200)
    alone = step(1, 1000, fast, loader)
    assert alone.exposed == 0 and alone.cores_per_gpu == pytest.approx(5)
    assert alone.limit(6) == "GPU" and alone.limit(4) == "input"
    assert alone.seconds(6) == pytest.approx(0.128) and alone.seconds(2.5) == pytest.approx(0.256)
    many = step(64, 1000, fast, loader)
    assert 0 < many.exposed < 0.01 * many.compute
    # Overlap hides all but the last bucket, or what the backward pass is too short for.
    assert many.exposed == pytest.approx(many.exchange / fast.buckets)
    starved = step(64, 1000, slow, loader)
    assert starved.limit(6) == "network"
    assert starved.exposed == pytest.approx(starved.exchange - 2 / 3 * 0.128)
    assert starved.cores_per_gpu < many.cores_per_gpu  # slower GPUs ask for fewer images


def test_the_documented_table_is_the_models() -> None:
    assert table(LoaderModel()) in DOCS.read_text()
