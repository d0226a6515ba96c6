"""Tests of the label maps' benchmark: both ways agree, and the literal one is what it says."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from benchmarks.deploy import label_map
from lvt_core.semantic.resized import Resizing


@pytest.mark.parametrize("kind", ["smooth", "rough", "noise"])
@pytest.mark.parametrize("form", label_map.FORMS)
def test_both_ways_agree(form: str, kind: str) -> None:
    logits = label_map.make_logits(kind, (64, 96), None)
    row = label_map.measure(form, logits, (64, 96), repeats=1)
    assert row["different_pixels"] == 0
    assert row["literal"]["ms"] > 0 and row["ours"]["peak_mb"] > 0


def test_the_literal_form_in_numpy_is_pytorchs_but_for_rounding() -> None:
    logits = label_map.make_logits("smooth", (64, 96), None)
    expected = Resizing((64, 96))(logits).argmax(dim=1).numpy()
    assert np.mean(label_map.literal_array(logits.numpy(), (64, 96)) == expected) > 0.999


def test_command_prints_and_writes(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "maps.json"
    words = ["label_map", "--sizes", "64x64", "--repeats", "1", "--steps", "1", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", [*words, "--kinds", "trained"])
    label_map.main()
    assert "64x64 trained, numpy:" in capsys.readouterr().out
    rows = json.loads(path.read_text())["rows"]
    assert [row["form"] for row in rows] == list(label_map.FORMS)
