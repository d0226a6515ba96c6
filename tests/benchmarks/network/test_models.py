"""Tests of the literal form against published values, and of the benchmark of whole models."""

from __future__ import annotations

import json
import sys

import timm
import torch

from benchmarks.literal import LiteralCSA, LiteralDepthwiseMlp, LiteralRASA, literal_copy
from benchmarks.network import models
from lvt_core import LVT, load_checkpoint
from tests.golden_values import assert_close, image, state_dict


@torch.no_grad()
def test_literal_backbone_has_the_golden_values() -> None:
    model = LVT().eval()
    load_checkpoint(model, state_dict("lvt_backbone_state_dict"))
    literal = literal_copy(model)
    kinds = {type(module) for module in literal.modules()}
    assert {LiteralCSA, LiteralRASA, LiteralDepthwiseMlp} <= kinds
    for stage, features in enumerate(literal(image("features_128x160")), start=1):
        assert_close(features, f"features_128x160_stage{stage}")


def test_both_forms_have_equal_gradients() -> None:
    gradients = []
    for model in models.models(models.CASES["training16"], torch.empty(0)).values():
        torch.manual_seed(0)
        output = model.forward_tokens(torch.randn(2, 3, 64, 64), torch.tensor([0, 1, 1, 2]))
        (output.cls.square().mean() + output.tokens.square().mean()).backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()) + 1e-9)


def test_command_prints_and_writes(tmp_path, monkeypatch, capsys) -> None:
    cases = {
        "one": models.Case("lvt_cls", 64, 1, "inference"),
        "two": models.Case("lvt_cls", 64, 2, "training"),
        "three": models.Case("segformer", 64, 1, "inference"),
    }
    monkeypatch.setattr(models, "CASES", cases)
    path = tmp_path / "network.json"
    monkeypatch.setattr(sys, "argv", ["network", "--cases", *cases, "--repeats", "1", "--json", str(path)])
    models.main()
    out = capsys.readouterr().out
    assert all(f"{case}: " in out for case in cases.values()) and "x the limit" in out
    rows = json.loads(path.read_text())["rows"]
    assert [row["case"] for row in rows] == [str(case) for case in cases.values()]
    for row in rows:
        assert row["difference"] < 1e-4
        for form in ("literal", "ours"):
            assert row[form]["ms"] > 0 and len(row[form]["ms_all"]) == 1 and row[form]["peak_mb"] > 0


def test_literal_copy_does_not_change_the_model() -> None:
    model = timm.create_model("lvt", num_classes=3)
    literal_copy(model)
    assert not any(isinstance(module, LiteralCSA) for module in model.modules())
