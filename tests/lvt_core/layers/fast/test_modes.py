"""Every layer is the same function under `torch.func`, forward mode and `torch.jit.trace`."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from lvt_core.layers import CSA, RASA, ClassAttention, DepthwiseMlp, Mlp

NAMES = ["csa", "rasa", "mlp", "depthwise", "class"]


def layer_of(name: str) -> nn.Module:
    torch.manual_seed(0)
    layer = {
        "csa": lambda: CSA(4, num_heads=2),
        "rasa": lambda: RASA(4, num_heads=2, sr_ratio=2),
        "mlp": lambda: Mlp(4, 8),
        "depthwise": lambda: DepthwiseMlp(4, hidden_dim=8),
        "class": lambda: ClassAttention(4, num_heads=2),
    }[name]()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer.double().train()


def input_of(name: str, batch: int = 2) -> Tensor:
    shape = (batch, 7, 4) if name == "class" else (batch, 5, 4, 4)
    return torch.randn(shape, dtype=torch.float64)


def loss_of(layer: nn.Module) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    return lambda weights, x: torch.func.functional_call(layer, weights, (x,)).sin().sum()


@pytest.mark.parametrize("name", NAMES)
def test_func_grad_and_per_sample_gradients_equal_backward(name: str) -> None:
    layer, x = layer_of(name), input_of(name)
    weights = {key: value.detach() for key, value in layer.named_parameters()}
    loss_of(layer)(dict(layer.named_parameters()), x).backward()
    at_once = torch.func.grad(loss_of(layer))(weights, x)
    each = torch.vmap(torch.func.grad(loss_of(layer)), (None, 0))(weights, x[:, None])
    for key, parameter in layer.named_parameters():
        torch.testing.assert_close(at_once[key], parameter.grad)
        torch.testing.assert_close(each[key].sum(0), parameter.grad)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_vmap_equals_a_batch(name: str, gradients: bool) -> None:
    layer, x = layer_of(name), input_of(name, 3)
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(torch.vmap(layer)(x[:, None])[:, 0], layer(x))


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_forward_mode_equals_reverse_mode(name: str, gradients: bool) -> None:
    layer, x = layer_of(name), input_of(name).requires_grad_()
    direction = torch.randn_like(x)
    y = layer(x)
    weights = torch.randn_like(y)
    (reverse,) = torch.autograd.grad(y, x, weights)
    with torch.set_grad_enabled(gradients):
        _, tangent = torch.func.jvp(layer, (x.detach(),), (direction,))
        with forward_ad.dual_level():
            other = forward_ad.unpack_dual(layer(forward_ad.make_dual(x.detach(), direction))).tangent
    assert other is not None
    for forward in (tangent, other):
        torch.testing.assert_close((forward * weights).sum(), (reverse * direction).sum())


@pytest.mark.parametrize("name", NAMES)
def test_hessians_are_symmetric_and_equal_differences(name: str) -> None:
    layer, x = layer_of(name), input_of(name, 1)
    one, other = torch.randn_like(x), torch.randn_like(x)
    loss = lambda x: layer(x).sin().sum()  # noqa: E731
    gradient = torch.func.grad(loss)
    products = [torch.func.jvp(gradient, (x,), (v,))[1] for v in (one, other)]
    torch.testing.assert_close((products[0] * other).sum(), (products[1] * one).sum())
    step = 1e-5
    difference = (gradient(x + step * one) - gradient(x - step * one)) / (2 * step)
    torch.testing.assert_close(products[0], difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_trace_is_the_layer_and_can_be_saved(name: str, gradients: bool) -> None:
    layer, x, buffer = layer_of(name).eval(), input_of(name), io.BytesIO()
    with torch.set_grad_enabled(gradients):
        torch.jit.save(torch.jit.trace(layer, (x,)), buffer)
        buffer.seek(0)
        traced = torch.jit.load(buffer)
        torch.testing.assert_close(traced(x), layer(x))
    traced(x).sum().backward()
    assert all(parameter.grad is not None for parameter in traced.parameters())


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (7, 8), (1, 1)])
@pytest.mark.parametrize("name", ["csa", "rasa", "depthwise"])
def test_the_classic_onnx_exporter_writes_the_layer(name: str, size: tuple[int, int]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    layer, buffer = layer_of(name).float().eval(), io.BytesIO()
    x = torch.randn(2, *size, 4)
    free = {"x": {0: "batch", 1: "height", 2: "width"}}
    torch.onnx.export(layer, (x,), buffer, dynamo=False, input_names=["x"], dynamic_axes=free)
    session = onnxruntime.InferenceSession(buffer.getvalue())
    others = [torch.randn(1, 9, 4, 4)] if min(size) > 1 else []
    for image in (x, *others):
        (written,) = session.run(None, {"x": image.numpy()})
        np.testing.assert_allclose(written, layer(image).detach(), rtol=1e-4, atol=1e-5)
