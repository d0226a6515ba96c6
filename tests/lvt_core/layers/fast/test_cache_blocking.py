"""Layers that work in pieces compute what they compute on the whole, with cuts at any place."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

import lvt_core  # noqa: F401  (registers the models)
from lvt_core.layers import CSA, DepthwiseMlp, Mlp
from lvt_core.layers.fast.cache_blocking import cache_of
from lvt_core.layers.window_attention import window_attention

SIZES = [(7, 9), (1, 1), (14, 6), (2, 31), (25, 24)]


TINY = 4096  # bytes: even a test's maps are cut, CSA into several bands, batches into images


def layers() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    by_name: dict[str, nn.Module] = {
        "csa": CSA(8, num_heads=2),
        "mlp": Mlp(8, 32),
        "depthwise": DepthwiseMlp(8, hidden_dim=32),
    }
    return {name: layer.double().eval() for name, layer in by_name.items()}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["csa", "mlp", "depthwise"])
def test_pieces_are_the_whole(name: str, size: tuple[int, int]) -> None:
    layer = layers()[name]
    maps = torch.randn(3, 8, *size, dtype=torch.float64)
    inputs = {"channels last": maps.permute(0, 2, 3, 1).contiguous(), "strided": maps.permute(0, 2, 3, 1)}
    whole = {how: layer(x).detach() for how, x in inputs.items()}
    for how, x in inputs.items():
        with torch.inference_mode(), cache_of(TINY):
            torch.testing.assert_close(layer(x), whole[how], rtol=1e-12, atol=1e-12)


def test_a_tiny_cache_cuts_every_layer() -> None:
    calls: list[Tensor] = []
    for name, layer in layers().items():
        calls.clear()
        watched = layer.proj if name == "csa" else layer.fc2
        watched.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0]))
        with torch.inference_mode(), cache_of(TINY):
            layer(torch.randn(3, 25, 24, 8, dtype=torch.float64))
        assert len(calls) >= 3, name


@pytest.mark.parametrize("size", SIZES)
def test_training_in_pieces_has_the_gradients_of_the_whole(size: tuple[int, int]) -> None:
    windows = (size[0] + 1) // 2 * ((size[1] + 1) // 2)
    torch.manual_seed(0)
    shapes = [(3, *size, 4), (3 * windows, 2, 9, 9), (9, 4, 4)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    results = []
    for cache in (1 << 30, 1024):
        with cache_of(cache):
            y = window_attention(*inputs)
            results.append([y, *torch.autograd.grad(y.sin().sum(), inputs)])
    for whole, pieces in zip(*results, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gradients", [True, False])
def test_an_empty_batch_gives_an_empty_result(gradients: bool) -> None:
    model = timm.create_model("lvt_cls", num_classes=5).eval()
    with torch.set_grad_enabled(gradients):
        assert model(torch.zeros(0, 3, 64, 64)).shape == (0, 5)


def test_hooks_on_layers_work_without_gradients() -> None:
    layer = DepthwiseMlp(8, hidden_dim=32).eval()
    seen: set[str] = set()
    for name, child in layer.named_children():
        child.register_forward_hook(lambda *_, name=name: seen.add(name))
    with torch.inference_mode(), cache_of(TINY):
        layer(torch.randn(2, 5, 5, 8))
    assert seen == {"fc1", "dwconv", "act", "drop1", "fc2", "drop2"}
