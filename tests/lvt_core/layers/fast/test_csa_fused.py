"""The fused operator is CSA, and autograd, autocast, `torch.compile` and `torch.export` understand it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from lvt_core import CSA, LVT, LVTConfig
from lvt_core.layers.fast import csa_fused
from tests.small import SMALL

MIX = torch.ops.lvt.csa_mix.default
OPERATORS = {MIX, torch.ops.lvt.csa_mix_backward.default}
SIZES = [(4, 6), (5, 3), (1, 1)]


class FusedCSA(CSA):
    """CSA that takes the operator on every device; on a CPU it runs its portable form."""

    def mix(self, x: Tensor) -> Tensor:
        return csa_fused.fused_mix(x, self.logits(x), self.tap_weight, self.num_heads)


class Calls(TorchDispatchMode):
    """The operators that are called inside of a ``with`` block."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[Any] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operators.append(operator)
        return operator(*args, **(kwargs or {}))


def on_fake_gpu(layer: nn.Module) -> nn.Module:
    """Move a layer to a GPU that computes only shapes; call it under `FakeTensorMode`."""
    for module in layer.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape, device="cuda")))
    return layer


@pytest.mark.parametrize("size", SIZES)
def test_the_portable_form_is_the_layer(size: tuple[int, int]) -> None:
    layer = CSA(8, num_heads=2).double()
    nn.init.normal_(layer.attn.weight)
    x = torch.randn(2, *size, 8, dtype=torch.float64, requires_grad=True)
    mixed = csa_fused.fused_mix(x, layer.logits(x), layer.tap_weight, 2)
    fused, plain = layer.proj(mixed), layer(x)
    grad = torch.randn_like(plain)
    wanted = [x, layer.attn.weight, layer.attn.bias, layer.tap_weight]
    torch.testing.assert_close(fused, plain, rtol=1e-10, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(y, wanted, grad) for y in (fused, plain)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_the_operator_has_the_second_and_third_derivative_of_the_layer() -> None:
    layer = CSA(4, num_heads=2).double()
    fused = FusedCSA(4, num_heads=2).double()
    fused.load_state_dict(layer.state_dict())
    x = torch.randn(1, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    results = []
    for each in (layer, fused):
        value, derivatives = each(x).sin().sum(), []
        for _ in range(3):
            grads = torch.autograd.grad(value, [x, each.tap_weight, each.attn.weight], create_graph=True)
            value = sum(grad.square().sum() for grad in grads)
            derivatives += grads
        results.append(derivatives)
    for expected, actual in zip(*results, strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_operators_keep_pytorchs_contract(size: tuple[int, int]) -> None:
    windows = (size[0] + 1) // 2, (size[1] + 1) // 2
    shapes = (2, *size, 64), (2, *windows, 162), (9, 64, 64)
    inputs = [torch.randn(shape, requires_grad=True) for shape in shapes]
    torch.library.opcheck(csa_fused.csa_mix, (*inputs, 2))
    detached = [t.detach() for t in inputs]
    torch.library.opcheck(csa_fused.csa_mix_backward, (detached[0], *detached, 2))


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_makes_one_graph(backend: str, dtype: torch.dtype | None) -> None:
    layer, targets = FusedCSA(64, num_heads=2), set()

    def compiler(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        targets.update(node.target for node in graph.graph.nodes)
        return torch._dynamo.lookup_backend(backend)(graph, inputs)

    compiled = torch.compile(layer, backend=compiler, fullgraph=True)
    for size in ((6, 8), (7, 5)):  # the second with dynamic sides
        x = torch.randn(2, *size, 64, requires_grad=True)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            actual, expected = compiled(x), layer(x)
        assert actual.dtype == (dtype or torch.float32)
        tolerance = 1e-2 if dtype else 1e-5
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)
        a, b = (torch.autograd.grad(y.float().square().sum(), x)[0] for y in (actual, expected))
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    assert MIX in targets
    torch.compiler.reset()


def test_a_network_trains_alike_with_activation_checkpointing() -> None:
    model = LVT(LVTConfig(**SMALL, num_recursions=1)).train()
    for block in model.stages[0].blocks:
        plain, block.attn = block.attn, FusedCSA(16, num_heads=2)
        block.attn.load_state_dict(plain.state_dict())
    image, gradients = torch.randn(1, 3, 33, 40), []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        sum(y.square().mean() for y in model(image)).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_cpus_do_not_take_the_operator() -> None:
    with Calls() as calls:
        CSA(64, num_heads=2)(torch.randn(1, 4, 4, 64))
    assert calls.operators and not OPERATORS & set(calls.operators)


def test_gpus_take_the_operator_except_under_dropout_of_the_weights() -> None:
    layer, sampling = CSA(64, num_heads=2), CSA(64, num_heads=2, attn_drop=0.5).eval()
    with FakeTensorMode():
        x = torch.empty(2, 7, 9, 64, device="cuda")
        with Calls() as calls:
            y = on_fake_gpu(layer)(x)
            on_fake_gpu(sampling)(x)
        assert y.shape == x.shape and y.is_cuda and calls.operators.count(MIX) == 2
        sampling.attn_drop.train()  # only dropout is active, as for uncertainty by sampling
        with Calls() as calls:
            sampling(x)
        assert not OPERATORS & set(calls.operators)


def test_the_operator_supports_small_heads_of_common_types() -> None:
    with FakeTensorMode():
        x = torch.empty(2, 7, 9, 64, device="cuda")
        assert csa_fused.can_fuse(x, 1) and csa_fused.can_fuse(x.bfloat16(), 2)
        assert not csa_fused.can_fuse(x.double(), 2) and not csa_fused.can_fuse(x.cpu(), 2)
        assert not csa_fused.can_fuse(x.repeat(1, 1, 1, 2), 1)  # d = 128
        assert not csa_fused.can_fuse(x.repeat(1, 1, 1, 16), 16)  # C = 1024


def test_compiled_gpu_code_has_the_operator_and_exported_code_has_ordinary_ones() -> None:
    layer, targets = CSA(64, num_heads=2).eval(), set()

    def compiler(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        targets.update(node.target for node in graph.graph.nodes)
        return graph.forward

    with FakeTensorMode():
        x = torch.empty(1, 4, 6, 64, device="cuda")
        on_fake_gpu(layer)
        torch.compile(layer, backend=compiler, fullgraph=True)(x)
        program = torch.export.export(layer, (x,))
    torch.compiler.reset()
    assert MIX in targets
    exported = {node.target for node in program.graph.nodes}
    assert torch.ops.aten.avg_pool2d.default in exported and not OPERATORS & exported
