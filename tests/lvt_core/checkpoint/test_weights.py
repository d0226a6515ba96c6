"""Weights: taken from any content, in our names, with the layout that they had."""

from __future__ import annotations

import pytest
import timm
import torch

from lvt_core import LVT, CheckpointError, LVTClassifier, load_checkpoint
from lvt_core.checkpoint import weights_of
from lvt_core.checkpoint.names import to_original
from tests.lvt_core.checkpoint.models import equal, small


def test_every_layout_has_our_names() -> None:
    classifier, backbone = LVTClassifier(small()).state_dict(), LVT(small()).state_dict()
    prefixed = {f"backbone.{key}": value for key, value in backbone.items()}
    for form, layout, ours in (
        (classifier, "lvt", classifier),
        (to_original(classifier), "original", classifier),
        (backbone, "lvt_backbone", prefixed),
        (to_original(backbone), "original", prefixed),
    ):
        weights = weights_of({"state_dict": {f"module.{k}": v for k, v in form.items()}}, "a.pth")
        assert (weights.name, weights.layout) == ("a.pth", layout)
        assert equal(weights.state_dict, ours)


def test_another_networks_names_are_kept() -> None:
    resnet = timm.create_model("resnet18").state_dict()
    weights = weights_of(resnet, "a.pth")
    assert weights.layout is None and equal(weights.state_dict, resnet)


def test_moving_average() -> None:
    plain, ema = LVTClassifier(small()), LVTClassifier(small())
    content = {"state_dict": plain.state_dict(), "state_dict_ema": ema.state_dict()}
    model = LVTClassifier(small())
    load_checkpoint(model, content, use_ema=True)
    assert equal(model.state_dict(), ema.state_dict())
    with pytest.raises(CheckpointError, match="has no moving average"):
        load_checkpoint(model, plain.state_dict(), use_ema=True)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"state_dict": {"a": torch.zeros(1), "b": 2}}])
def test_rejects_content_without_weights(content: dict) -> None:
    with pytest.raises(CheckpointError, match="a.pth: does not contain a state dict; its keys are"):
        weights_of(content, "a.pth")
