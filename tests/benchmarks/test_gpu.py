"""Tests of the GPU benchmark with tiny networks on any machine: all parts, budgets, missing packages."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu import dense, parts
from benchmarks.gpu.scale import FULL, TINY
from benchmarks.network.peers import PEERS
from lvt_core.errors import UserError
from lvt_core.layers import csa
from lvt_core.layers.fast import csa_fused

FORMS = {
    "csa": {"portable", "ours"},
    "network": {"literal", "ours", "ours, compiled"},
    "training": {"literal", "ours", "ours, checkpointed", "ours, compiled"},
    "labels": {"literal", "ours"},
    "peers": {"ours", "mobilenetv4_conv_small"},
    "segmentation": {"literal", "ours", "SegFormer-B0"},
    "panoptic": {"literal", "ours", "Panoptic FPN R-50"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", parts.PARTS)
def test_part_runs_and_reports_every_form(name: str, monkeypatch, tmp_path) -> None:
    needed = {"segmentation": "mmseg", "panoptic": "mmdet"}.get(name)
    if needed and not find_spec(needed):
        pytest.skip(f"{needed} is not installed")
    # The kernels need a GPU: the portable form replaces them in the operator that calls them.
    portable = SimpleNamespace(forward=csa_fused.portable, backward=csa_fused.portable_backward)
    monkeypatch.setattr(csa_fused, "kernels", lambda: portable)
    monkeypatch.setattr(csa, "can_fuse", lambda x, heads: True)
    parts.run_part(name, TINY, tmp_path / "rows")
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert rows and all(row["part"] == name for row in rows)
    assert FORMS[name] <= rows[0]["forms"].keys()
    for row in rows:
        assert all(figures["ms"] > 0 for figures in row["forms"].values())
        assert row.get("difference", 0.0) < 0.05
        text = parts.table(row)
        assert row["name"] in text and all(form in text for form in row["forms"])
        for verdict in row["targets"]:
            assert verdict["met"] == (verdict["times_less"] >= verdict["bound"])
            assert verdict["name"] in parts.summary([row])


def test_reports_a_missing_package_in_a_line(monkeypatch, tmp_path) -> None:
    def missing(*modules: str, extra: str) -> None:
        raise UserError("mmdet is not installed")

    monkeypatch.setattr(dense, "require_installed", missing)
    parts.run_part("panoptic", TINY, tmp_path / "rows")
    row = json.loads((tmp_path / "rows").read_text())
    assert parts.table(row) == "panoptic: mmdet is not installed"


def test_reports_an_exceeded_budget_in_a_line(monkeypatch) -> None:
    monkeypatch.setitem(parts.PARTS, "labels", (parts.labels, 0))
    (row,) = parts.supervise("labels", tiny=True)
    assert parts.table(row).startswith("labels: stopped at its budget of 0 s (")


def test_command_measures_prints_and_writes(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu", "--tiny", "--parts", "labels", "--json", str(path)])
    parts.main()
    out = capsys.readouterr().out
    assert "token labels and their loss, batch 2" in out and "target 10.00" in out and "tiny networks" in out
    content = json.loads(path.read_text())
    assert content["tiny"] and [row["part"] for row in content["rows"]] == ["labels", "labels"]
    assert content["rows"][1]["seconds"] > 0 and "skipped" not in content["rows"][1]


def test_rejects_a_machine_without_gpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(UserError, match="python -m benchmarks.gpu: needs a GPU; --tiny"):
        parts.main()


def test_budgets_sum_to_eight_minutes_and_peers_equal_the_cpu_ones() -> None:
    assert sum(budget for _, budget in parts.PARTS.values()) <= 480
    assert set(FULL.peers) | {"lvt_cls"} == set(PEERS)
