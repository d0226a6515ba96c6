"""Teachers of tokens: any model with a feature map gives logits at every place."""

from __future__ import annotations

import pytest
import timm
import torch

from lvt_classify.token_labels.teacher import dense_teacher_logits
from lvt_core.errors import UserError


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_convnext", "test_efficientnet", "swin_tiny_patch4_window7_224", "lvt"]
)
def test_any_map_of_features_can_teach(name: str) -> None:
    """The mean over places of a linear head's logits is the head of the mean."""
    model = timm.create_model(name, num_classes=7).eval()
    size = model.default_cfg["input_size"][-1]
    with torch.no_grad():
        images = torch.randn(1, 3, size, size)
        dense = dense_teacher_logits(model, images)
    assert dense.shape[:2] == (1, 7)
    assert dense.shape[2] > 1
    if name in ("test_resnet", "lvt"):
        torch.testing.assert_close(dense.mean((2, 3)), model(images).detach(), rtol=1e-4, atol=1e-4)


def test_plain_transformers_that_average_can_teach() -> None:
    model = timm.create_model("test_vit", num_classes=7, global_pool="avg").eval()
    size = model.default_cfg["input_size"][-1]
    with torch.no_grad():
        dense = dense_teacher_logits(model, torch.randn(2, 3, size, size))
    assert dense.shape[:2] == (2, 7)
    with pytest.raises(UserError, match="teacher .*: has no feature map"):
        dense_teacher_logits(timm.create_model("test_vit").eval(), torch.randn(1, 3, size, size))
