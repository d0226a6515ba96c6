"""The drawn weights add up to 1 and reproduce the outputs of the layers."""

from __future__ import annotations

import pytest
import torch

from lvt_core.explain.attention import (
    RecordedRecursion,
    attention_rows,
    mix_uniformly,
    mix_windows,
    rate_queries,
    window_weights,
)
from lvt_core.layers import CSA, RASA
from tests.small import attending

MAP = (1, 7, 10, 16)


def csa() -> CSA:
    return attending(CSA(16, num_heads=2))


def rasa(**fields: object) -> RASA:
    layer = RASA(16, num_heads=2, sr_ratio=2, **fields).eval()
    for each in (layer.q, layer.kv):
        torch.nn.init.normal_(each.weight, std=0.5)
    return layer


def test_weights_of_a_window_are_the_layers() -> None:
    layer, x = csa(), torch.randn(MAP)
    with torch.inference_mode():
        weights = window_weights(layer, x, 6, 5)  # window (3, 2) of 4 x 5
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 9))
        torch.testing.assert_close(weights, layer.attention(x)[3 * 5 + 2])


def test_weights_of_all_windows_reproduce_csa() -> None:
    layer, x = csa(), torch.randn(MAP)
    with torch.inference_mode():
        rows = [[window_weights(layer, x, 2 * i, 2 * j) for j in range(5)] for i in range(4)]
        weights = torch.stack([each for row in rows for each in row])
        torch.testing.assert_close(mix_windows(layer, x, weights), layer(x))
        assert not torch.allclose(mix_uniformly(layer, x), layer(x), atol=1e-3)


def test_equal_weights_are_the_mean_of_the_values() -> None:
    layer, x = csa(), torch.randn(1, 1, 1, 16)  # one window, whose centre is the only pixel
    with torch.inference_mode():
        expected = layer.proj(x @ layer.tap_weight[4].T / 9)
        torch.testing.assert_close(mix_uniformly(layer, x), expected)


def test_attention_rows_reproduce_a_step() -> None:
    layer, x = rasa(), torch.randn(MAP)
    with torch.inference_mode():
        weights = attention_rows(layer, x, torch.arange(70))  # (N, L, h, w)
        assert weights.shape == (2, 70, 3, 5)
        torch.testing.assert_close(weights.sum(dim=(2, 3)), torch.ones(2, 70))
        v = layer.kv(layer.reduce(x)).flatten(1, 2)[0, :, 16:].unflatten(1, (2, 8)).transpose(0, 1)
        mixed = (weights.flatten(2) @ v).transpose(0, 1).reshape(MAP)
        torch.testing.assert_close(layer.proj(mixed), layer.step(x))
        torch.testing.assert_close(attention_rows(layer, x, torch.tensor([23])), weights[:, 23:24])


def test_the_rates_add_up_to_the_query() -> None:
    layer, x = rasa(), torch.randn(MAP)
    with torch.inference_mode():
        parts = rate_queries(layer, x)
        assert list(parts) == [1, 3, 5]
        torch.testing.assert_close(sum(parts.values()), layer.query(x))
        assert rate_queries(rasa(atrous_rates=None), x) == {}


@pytest.mark.parametrize("times", [1, 2, 3])
def test_the_recursion_is_the_layers(times: int) -> None:
    layer, x = rasa(num_recursions=times), torch.randn(MAP)
    with torch.inference_mode():
        recursion = RecordedRecursion(layer, layer.query)
        torch.testing.assert_close(recursion(x), layer(x), rtol=0, atol=0)
        assert len(recursion.inputs) == times
