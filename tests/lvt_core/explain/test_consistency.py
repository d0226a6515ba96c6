"""The share of neighbours that differ, and the networks without a part."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lvt_core import LVTConfig, SegFormer
from lvt_core.explain.consistency import WHOLE, compare_variants, disagreement, mixers_of
from lvt_core.explain.walk import walk
from lvt_core.layers import RASA
from tests.small import SIZE, SMALL, attending


def test_disagreement_counts_pairs_of_neighbours() -> None:
    assert disagreement(torch.tensor([[1, 1, 2], [1, 3, 2]])) == pytest.approx(4 / 7)
    assert disagreement(torch.tensor([[1, 1]])) == 0
    assert disagreement(torch.tensor([[1]])) is None


def test_variants_are_the_parts_that_a_network_has() -> None:
    assert list(mixers_of(LVTConfig())) == [
        WHOLE,
        "one recursion instead of 2",
        "only rate 1 instead of 1, 3, 5",
        "CSA with equal weights of 1/9",
    ]
    plain = LVTConfig(mixers=("rasa",) * 4, atrous_rates=None, num_recursions=1)
    assert list(mixers_of(plain)) == [WHOLE]


def maps_of(mixer: Any, model: Any, images: torch.Tensor) -> torch.Tensor:
    return walk(model.backbone, images, mixer=mixer).maps[-1]


def test_one_rate_is_the_network_with_that_rate() -> None:
    torch.manual_seed(0)
    whole, single = (
        attending(SegFormer(LVTConfig(**SMALL, atrous_rates=rates), embed_dim=16))
        for rates in ((1, 3, 5), (1,))
    )
    single.load_state_dict(whole.state_dict())
    images = torch.randn(1, 3, *SIZE)
    with torch.inference_mode():
        mixer = mixers_of(whole.config)["only rate 1 instead of 1, 3, 5"]
        torch.testing.assert_close(maps_of(mixer, whole, images), single.backbone(images)[-1])
        assert not torch.allclose(whole.backbone(images)[-1], single.backbone(images)[-1], atol=1e-4)


def test_one_recursion_is_the_first_step() -> None:
    layer = RASA(16, num_heads=2).eval()
    x = torch.randn(1, 5, 6, 16)
    with torch.inference_mode():
        mixed = mixers_of(LVTConfig())["one recursion instead of 2"](layer, x)
        torch.testing.assert_close(mixed, F.silu(layer.step(x)))


def test_variants_are_compared_with_the_whole_network() -> None:
    torch.manual_seed(0)
    model = attending(SegFormer(LVTConfig(**SMALL), embed_dim=16))
    images = torch.randn(1, 3, *SIZE)
    with torch.inference_mode():
        variants = compare_variants(model, images)
        expected = model(images)[0].argmax(dim=0)
    assert torch.equal(variants[0].classes, expected)
    assert variants[0].changed == 0
    for each in variants[1:]:
        assert each.changed == (each.classes != expected).float().mean().item()
    assert any(each.changed > 0 for each in variants[1:])
