"""Logits that are ranked are float32, and adaptive clipping leaves the head out."""

from __future__ import annotations

import pytest
import timm
import torch

import lvt_core  # noqa: F401  (registers)
from lvt_classify.runtime import Runtime
from lvt_classify.token_labels.labels import Labels
from lvt_classify.training.engine import clipped_parameters, evaluate
from lvt_classify.training.precision import float32_head

HALF = Runtime(torch.device("cpu"), 0, 1, torch.bfloat16)
SMALL = {"depths": (1, 1, 1, 1), "embed_dims": (8, 8, 16, 16), "num_heads": (2, 2, 2, 2), "num_classes": 1000}


@pytest.mark.parametrize("name", ["lvt_cls", "resnet10t"])
def test_validation_ranks_float32_logits_under_mixed_precision(name: str) -> None:
    model = timm.create_model(name, **(SMALL if name == "lvt_cls" else {})).eval()
    labels = Labels(torch.zeros(4, dtype=torch.int64), torch.eye(2, 3).repeat(4, 1, 1), None)
    found: list[torch.Tensor] = []
    batches = [(torch.randn(4, 3, 64, 64), labels)]
    evaluate(model, batches, HALF, title="", log_interval=9, on_batch=lambda logits, _: found.append(logits))
    assert found[0].dtype == torch.float32
    assert (found[0] != found[0].bfloat16().float()).any(), "the logits were rounded to bfloat16"


def test_the_head_is_as_before_afterwards() -> None:
    model = timm.create_model("lvt_cls", **SMALL).eval()
    with float32_head(model):
        assert "forward" in vars(model.head)
    assert "forward" not in vars(model.head)
    with float32_head(torch.sigmoid):  # an exported program is a function
        pass


def test_adaptive_clipping_leaves_the_head_out() -> None:
    model = timm.create_model("lvt_cls", **SMALL)
    head = {id(p) for layer in (model.head, model.aux_head) for p in layer.parameters()}
    clipped = {id(p) for p in clipped_parameters(model, "agc")}
    assert clipped == {id(p) for p in model.parameters()} - head
    assert len(clipped_parameters(model, "norm")) == len(list(model.parameters()))
