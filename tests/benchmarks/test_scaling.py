"""Tests of the scaling benchmark on two processes, and of the model and its table in the documentation."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.scaling import processes
from benchmarks.scaling.arithmetic import (
    GRADIENT_BYTES,
    LoaderModel,
    NetworkModel,
    bytes_per_step,
    step,
    table,
)
from lvt_core import LVTClassifier

DOCS = Path(__file__).parents[2] / "docs" / "scaling.md"


@pytest.mark.slow
def test_command_measures_two_processes(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "scaling.json"
    words = ["--ranks", "1", "2", "--batch", "2", "--size", "32", "--repeats", "2"]
    monkeypatch.setattr(sys, "argv", ["scaling", *words, "--json", str(path)])
    processes.main()
    out = capsys.readouterr().out
    assert "2 ranks:" in out and "of the cores" in out
    content = json.loads(path.read_text())
    assert content["command"].endswith(" ".join(words)) and content["cores"] >= 1
    one, two = content["rows"]
    assert one["bytes_per_step"] == 0 and two["bytes_per_step"] == two["gradient_bytes"] == GRADIENT_BYTES
    for form in ("no exchange", "one bucket", "overlapped", "exchange only"):
        assert len(two[form]["ms_all"]) == 2 and two[form]["ms_best"] == min(two[form]["ms_all"])


def test_model_counts_all_gradients() -> None:
    assert sum(p.numel() for p in LVTClassifier().parameters()) * 4 == GRADIENT_BYTES
    assert bytes_per_step(1) == 0
    assert bytes_per_step(4) == pytest.approx(1.5 * GRADIENT_BYTES)


def test_model_names_the_slowest_part() -> None:
    fast, slow = NetworkModel(), NetworkModel(node_gbytes=0.1)
    loader = LoaderModel(images_per_core=200)
    single = step(1, 1000, fast, loader)
    assert single.exposed == 0 and single.cores_per_gpu == pytest.approx(5)
    assert single.limit(6) == "GPU" and single.limit(4) == "input"
    assert single.seconds(6) == pytest.approx(0.128) and single.seconds(2.5) == pytest.approx(0.256)
    many = step(64, 1000, fast, loader)
    assert 0 < many.exposed < 0.01 * many.compute
    # Overlap hides all but the last bucket; a long exchange outlasts the backward pass.
    assert many.exposed == pytest.approx(many.exchange / fast.buckets)
    starved = step(64, 1000, slow, loader)
    assert starved.limit(6) == "network"
    assert starved.exposed == pytest.approx(starved.exchange - 2 / 3 * 0.128)
    assert starved.cores_per_gpu < many.cores_per_gpu  # a slower step needs fewer images


def test_documented_table_equals_the_model() -> None:
    assert table(LoaderModel()) in DOCS.read_text()
