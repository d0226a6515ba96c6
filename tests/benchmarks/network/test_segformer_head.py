"""Tests of the SegFormer head's benchmark: both forms agree, multiply-adds equal the published ones."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.network import segformer_head
from benchmarks.side_by_side import peak_megabytes
from lvt_core import SegFormer, complexity


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_forms_agree_and_ours_costs_less(mode: str) -> None:
    size = "256x192"
    assert segformer_head.largest_difference(size, mode) < 1e-5
    literal, ours = (segformer_head.gmacs(size, mode, form) for form in ("literal", "ours"))
    assert ours < 0.5 * literal
    literal, ours = (
        peak_megabytes(segformer_head.head_calls(size, mode)[form]) for form in ("literal", "ours")
    )
    assert 0 < ours < literal


def test_literal_multiply_adds_are_the_published_ones() -> None:
    backbone = complexity(SegFormer().backbone, 512).total_macs / 1e9
    literal = segformer_head.gmacs("512x512", "inference", "literal")
    assert round(backbone + literal, 3) == 10.633
    head = SegFormer().decode_head
    assert head.literal_macs([(128, 128), (64, 64), (32, 32), (16, 16)]) == round(literal * 1e9)


def test_command_prints_and_writes(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "head.json"
    words = ["segformer_head", "--sizes", "64x64", "--repeats", "1", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(segformer_head, "MODES", ("inference",))
    segformer_head.main()
    assert "64x64 inference:" in capsys.readouterr().out
    (row,) = json.loads(path.read_text())["rows"]
    for form in ("literal", "ours"):
        assert row[form]["ms"] > 0 and len(row[form]["ms_all"]) == 1 and row[form]["peak_mb"] > 0
