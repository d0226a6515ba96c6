"""The walk through a network gives the outputs of its own forward pass."""

from __future__ import annotations

import pytest
import timm
import torch

from lvt_core.explain.walk import local_logits, outputs_of, walk
from tests.small import SIZE, SMALL, attending, small_models


def networks() -> dict[str, torch.nn.Module]:
    models = small_models()
    return {
        "lvt_cls": models["lvt_cls"],
        "segformer": models["segformer"],
        "lvt": attending(timm.create_model("lvt", **SMALL)),
    }


@pytest.mark.parametrize("name", ["lvt_cls", "lvt", "segformer"])
def test_the_walk_equals_the_forward_pass(name: str) -> None:
    model, images = networks()[name], torch.randn(2, 3, *SIZE)
    with torch.inference_mode():
        walked = walk(model.backbone, images)
        torch.testing.assert_close(outputs_of(model, walked.maps), model(images), rtol=0, atol=1e-6)


def test_the_walk_keeps_the_inputs_of_the_mixers() -> None:
    model, images = networks()["segformer"], torch.randn(1, 3, *SIZE)
    with torch.inference_mode():
        walked = walk(model.backbone, images, keep=[(1, 0)])
        stages = model.backbone.stages
        x = stages[1].patch_embed(stages[0](images))
        assert list(walked.inputs) == [(1, 0)]
        torch.testing.assert_close(walked.inputs[1, 0], stages[1].blocks[0].norm1(x))


def test_a_mixer_replaces_the_layers_work() -> None:
    model, images = networks()["lvt"], torch.randn(1, 3, *SIZE)
    with torch.inference_mode():
        whole = walk(model.backbone, images).maps[-1]
        without = walk(model.backbone, images, mixer=lambda layer, x: torch.zeros_like(x)).maps[-1]
    assert not torch.allclose(whole, without, atol=1e-2)


def test_local_logits_are_those_of_the_heads() -> None:
    models, images = networks(), torch.randn(1, 3, *SIZE)
    with torch.inference_mode():
        tokens = local_logits(models["lvt_cls"], walk(models["lvt_cls"].backbone, images).maps)
        torch.testing.assert_close(tokens, models["lvt_cls"].forward_dense(images))
        pooled = local_logits(models["lvt"], walk(models["lvt"].backbone, images).maps)
        assert pooled.shape == (1, 5, 2, 3)
        torch.testing.assert_close(pooled.mean(dim=(2, 3)), models["lvt"](images))  # pooling is linear
