"""The networks compile whole: no graph break, one graph per size, dynamic sizes on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import timm
import torch
from torch import nn

import lvt_core  # noqa: F401  (registers the models)
from lvt_core import LVTConfig, SegFormer
from lvt_core.layers import CSA, RASA

SMALL = {"embed_dims": (16, 16, 32, 32), "num_heads": (2, 2, 2, 2), "depths": (1, 1, 1, 1), "num_classes": 5}


@pytest.fixture(autouse=True)
def _forget_compiled_code() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Counter:
    """A compiler's backend that counts graphs and runs them as they are."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list) -> Callable:
        self.graphs += 1
        return graph.forward


def _models() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "lvt_cls": timm.create_model("lvt_cls", **SMALL),
        "lvt": timm.create_model("lvt", **SMALL),
        "segformer": SegFormer(LVTConfig(**SMALL), embed_dim=16),
    }


@pytest.mark.parametrize("name", ["lvt_cls", "lvt", "segformer"])
def test_inference_is_one_graph_a_size(name: str) -> None:
    model, counter = _models()[name].eval(), Counter()
    compiled = torch.compile(model, backend=counter, fullgraph=True, dynamic=False)
    for size in ((64, 64), (71, 99), (64, 64)):
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)
    assert counter.graphs == 2


def test_dynamic_sizes_share_one_graph() -> None:
    model, counter = _models()["lvt"].eval(), Counter()
    compiled = torch.compile(model, backend=counter, fullgraph=True, dynamic=True)
    for size in ((96, 128), (128, 160), (160, 224)):
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)
    assert counter.graphs == 1


def test_training_compiles_with_equal_gradients() -> None:
    model = _models()["lvt_cls"].double().train()
    x, box = torch.randn(2, 3, 64, 64, dtype=torch.float64), torch.tensor([0, 1, 1, 2])
    gradients = []
    for forward in (
        model.forward_tokens,
        torch.compile(model.forward_tokens, backend="aot_eager", fullgraph=True),
    ):
        model.zero_grad()
        output = forward(x, box)
        (output.cls.square().mean() + output.tokens.square().mean()).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for eager, compiled in zip(*gradients, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("layer", [CSA(16, num_heads=2), RASA(16, num_heads=2, sr_ratio=2)])
def test_inductor_computes_the_same(layer: nn.Module) -> None:
    x = torch.randn(1, 9, 7, 16)
    with torch.inference_mode():
        torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("axes", "gradients"), [((0,), True), ((2, 3), False)])
def test_exports_with_free_batches_and_sizes(axes: tuple[int, ...], gradients: bool) -> None:
    model = _models()["lvt"].backbone.eval()
    shapes = ({axis: torch.export.Dim.AUTO for axis in axes},)
    with torch.set_grad_enabled(gradients):
        program = torch.export.export(model, (torch.randn(2, 3, 96, 96),), dynamic_shapes=shapes)
        x = torch.randn(3, 3, 96, 96) if axes == (0,) else torch.randn(2, 3, 128, 160)
        for found, expected in zip(program.module()(x), model(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
