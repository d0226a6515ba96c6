"""Fitting: strict, with every misfit named; other heads only on request."""

from __future__ import annotations

import pytest
import timm
import torch

from lvt_core import (
    LVT,
    CheckpointError,
    LVTClassifier,
    LVTPooled,
    load_checkpoint,
)
from tests.lvt_core.checkpoint.models import equal, small


def test_another_number_of_classes_only_on_request() -> None:
    source, model = LVTClassifier(small()), LVTClassifier(small(num_classes=3))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="reset_head=True") as caught:
        load_checkpoint(model, source.state_dict())
    assert "head.weight: (5, 16) in the checkpoint, (3, 16) here" in str(caught.value)
    assert equal(model.state_dict(), before)  # untouched
    report = load_checkpoint(model, source.state_dict(), reset_head=True)
    assert report.reinitialized == ("head.weight", "head.bias", "aux_head.weight", "aux_head.bias")
    assert torch.equal(model.head.weight, before["head.weight"])
    assert torch.equal(model.cls_token, source.cls_token)


def test_another_kind_of_head_only_on_request() -> None:
    source, model = LVTClassifier(small()), LVTPooled(small())
    with pytest.raises(CheckpointError, match="unexpected"):
        load_checkpoint(model, source.state_dict())
    report = load_checkpoint(model, source.state_dict(), reset_head=True)
    assert "cls_token" in report.dropped
    assert torch.equal(model.norm.weight, source.norm.weight)


def test_misfits_are_all_listed() -> None:
    weights = LVTClassifier(small()).state_dict()
    del weights["backbone.stages.0.patch_embed.norm.bias"]
    weights["backbone.stages.0.extra"] = torch.zeros(1)
    weights["backbone.stages.1.blocks.0.attn.q.weight"] = torch.zeros(2, 2)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(LVTClassifier(small()), weights, reset_head=True)
    error = caught.value
    assert error.missing == ("backbone.stages.0.patch_embed.norm.bias",)
    assert error.unexpected == ("backbone.stages.0.extra",)
    assert len(error.mismatched) == 1
    assert "\n" not in str(error)
    for key in (*error.missing, *error.unexpected, "(2, 2) in the checkpoint, (8, 8) here"):
        assert key in str(error)


def test_rejects_another_network() -> None:
    weights = timm.create_model("resnet18").state_dict()
    with pytest.raises(CheckpointError, match="does not contain an LVT; its keys are conv1.weight"):
        load_checkpoint(LVT(), weights)
