"""Key names: ours are a contract, and the original's convert both ways."""

from __future__ import annotations

import pytest

from lvt_core import (
    LVTClassifier,
)
from lvt_core.checkpoint.names import to_lvt, to_original
from tests.golden_values import golden, state_dict
from tests.lvt_core.checkpoint.models import equal, small


def test_our_names_are_a_contract() -> None:
    keys = list(LVTClassifier(small()).state_dict())
    assert keys[1] == "backbone.stages.0.patch_embed.proj.weight"
    for key in (
        "cls_token",
        "backbone.stages.0.blocks.1.attn.tap_weight",
        "backbone.stages.1.blocks.0.attn.atrous.conv.weight",
        "backbone.stages.2.blocks.0.mlp.dwconv.bias",
        "class_blocks.1.attn.kv.weight",
        "norm.weight",
        "head.bias",
        "aux_head.weight",
    ):
        assert key in keys


@pytest.mark.parametrize("name", ["lvt_cls_state_dict", "lvt_backbone_state_dict", "segformer_state_dict"])
def test_original_names_and_shapes_there_and_back(name: str) -> None:
    original = state_dict(name)
    ours = to_lvt(original)
    assert not set(ours) & set(k for k in original if k.startswith(("backbone.0.", "backbone.backbone.")))
    back = to_original(ours)
    assert {key: list(value.shape) for key, value in back.items()} == golden()[name]
    assert equal(back, original)
    assert equal(to_original(original), original)
    assert equal(to_lvt(ours), ours)
