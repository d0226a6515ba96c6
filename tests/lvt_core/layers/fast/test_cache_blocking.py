"""Layers that work in pieces compute what they compute on the whole, with cuts at any place."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._python_dispatch import TorchDispatchMode

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


def products(layer: nn.Module, x: Tensor) -> int:
    """Count the matrix products of a call."""
    with CountProducts() as counted:
        layer(x)
    return counted.number


class CountProducts(TorchDispatchMode):
    """The number of matrix products inside of a ``with`` block."""

    number = 0

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += operator is torch.ops.aten.linear.default
        return operator(*args, **(kwargs or {}))


def test_a_tiny_cache_cuts_every_layer() -> None:
    x = torch.randn(3, 25, 24, 8, dtype=torch.float64)
    for name, layer in layers().items():
        with torch.inference_mode():
            whole = products(layer, x)
            with cache_of(TINY):
                assert products(layer, x) >= 3 * whole > 0, name


def hook(kind: str, module: nn.Module, seen: list[Tensor]) -> None:
    """Make a module append its input to a list, by one of PyTorch's ways."""
    if kind == "forward":
        module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    elif kind == "forward_pre":
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    else:
        plain = module.forward
        module.forward = lambda x: (seen.append(x), plain(x))[1]  # type: ignore[method-assign]


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "replaced"])
@pytest.mark.parametrize("name", ["csa", "mlp", "depthwise"])
def test_hooks_on_inner_modules_see_whole_batches(name: str, kind: str) -> None:
    layer = layers()[name]
    x = torch.randn(3, 25, 24, 8, dtype=torch.float64)
    shapes: dict[bool, dict[str, list[torch.Size]]] = {}
    seen: dict[str, list[Tensor]] = {child: [] for child, _ in layer.named_children()}
    for child, module in layer.named_children():
        hook(kind, module, seen[child])
    for gradients in (True, False):
        for inputs in seen.values():
            inputs.clear()
        with torch.set_grad_enabled(gradients), cache_of(TINY):
            layer(x)
        shapes[gradients] = {child: [value.shape for value in inputs] for child, inputs in seen.items()}
    assert shapes[False] == shapes[True]
    assert (
        all(len(calls) <= 1 for calls in shapes[False].values())
        and shapes[False]["proj_drop" if name == "csa" else "fc2"]
    )


def test_hooks_of_all_modules_see_whole_batches() -> None:
    modules: list[nn.Module] = []
    handle = register_module_forward_hook(lambda module, _, __: modules.append(module))
    try:
        with torch.inference_mode(), cache_of(TINY):
            for layer in layers().values():
                layer(torch.randn(3, 25, 24, 8, dtype=torch.float64))
    finally:
        handle.remove()
    assert modules and len(modules) == len(set(modules))


def test_a_hook_for_gradients_keeps_a_layer_whole() -> None:
    layer = layers()["depthwise"]
    x = torch.randn(3, 25, 24, 8, dtype=torch.float64)
    with torch.inference_mode():
        whole = products(layer, x)
        layer.fc1.register_full_backward_hook(lambda *_: None)
        with cache_of(TINY):
            assert products(layer, x) == whole


def test_hooks_of_the_layer_itself_do_not_keep_it_whole() -> None:
    layer = layers()["depthwise"]
    layer.register_forward_hook(lambda *_: None)
    x = torch.randn(3, 25, 24, 8, dtype=torch.float64)
    with torch.inference_mode(), cache_of(TINY):
        assert products(layer, x) >= 3 * 2


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
