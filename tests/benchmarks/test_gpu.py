"""Every part of the GPU's benchmark runs, in toys on any machine; the command keeps its budgets."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu, gpu_dense
from benchmarks.gpu_scale import FULL, TINY
from benchmarks.peers import PEERS
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


@pytest.mark.parametrize("name", gpu.PARTS)
def test_parts_run_and_tell_every_form(name: str, monkeypatch, tmp_path) -> None:
    needed = {"segmentation": "mmseg", "panoptic": "mmdet"}.get(name)
    if needed and not find_spec(needed):
        pytest.skip(f"{needed} is not installed")
    # Kernels need a GPU: here the portable form stands for them, in the operator that dispatches to them.
    portable = SimpleNamespace(forward=csa_fused.portable, backward=csa_fused.portable_backward)
    monkeypatch.setattr(csa_fused, "kernels", lambda: portable)
    monkeypatch.setattr(csa, "can_fuse", lambda x, heads: True)
    gpu.run_part(name, TINY, tmp_path / "rows")
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert rows and all(row["part"] == name for row in rows)
    assert FORMS[name] <= rows[0]["forms"].keys()
    for row in rows:
        assert all(found["ms"] > 0 for found in row["forms"].values())
        assert row.get("difference", 0.0) < 0.05
        text = gpu.table(row)
        assert row["name"] in text and all(form in text for form in row["forms"])
        for verdict in row["targets"]:
            assert verdict["met"] == (verdict["times_less"] >= verdict["bound"])
            assert verdict["name"] in gpu.summary([row])


def test_a_missing_package_is_a_line(monkeypatch, tmp_path) -> None:
    def missing(*modules: str, extra: str) -> None:
        raise UserError("mmdet is not installed")

    monkeypatch.setattr(gpu_dense, "require", missing)
    gpu.run_part("panoptic", TINY, tmp_path / "rows")
    row = json.loads((tmp_path / "rows").read_text())
    assert gpu.table(row) == "panoptic: mmdet is not installed"


def test_a_part_over_its_budget_is_a_line(monkeypatch) -> None:
    monkeypatch.setitem(gpu.PARTS, "labels", (gpu.labels, 0))
    (row,) = gpu.supervise("labels", tiny=True)
    assert gpu.table(row).startswith("labels: stopped at its budget of 0 s (")


def test_the_command_measures_prints_and_writes(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu", "--tiny", "--parts", "labels", "--json", str(path)])
    gpu.main()
    out = capsys.readouterr().out
    assert "token labels and their loss, batch 2" in out and "target 10.00" in out and "toys" in out
    content = json.loads(path.read_text())
    assert content["tiny"] and [row["part"] for row in content["rows"]] == ["labels", "labels"]
    assert content["rows"][1]["seconds"] > 0 and "skipped" not in content["rows"][1]


def test_without_a_gpu_it_is_a_sentence(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(UserError, match="there is no GPU here"):
        gpu.main()


def test_budgets_are_eight_minutes_and_the_peers_are_those_of_the_cpu() -> None:
    assert sum(budget for _, budget in gpu.PARTS.values()) <= 480
    assert set(FULL.peers) | {"lvt_cls"} == set(PEERS)
