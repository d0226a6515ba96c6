"""RASA equals the paper's formula, written with loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lvt_core import RASA
from lvt_core.layers.rasa import AtrousQuery


def literal_atrous(weight: Tensor, q: Tensor, rate: int) -> Tensor:
    """Convolve ``(H, W, C)`` depthwise, 3x3, with dilation and equal padding, pixel by pixel."""
    H, W, _ = q.shape
    rows = []
    for y in range(H):
        for x in range(W):
            taps = [
                weight[:, 0, dy, dx] * q[y + (dy - 1) * rate, x + (dx - 1) * rate]
                for dy in range(3)
                for dx in range(3)
                if 0 <= y + (dy - 1) * rate < H and 0 <= x + (dx - 1) * rate < W
            ]
            rows.append(sum(taps))
    return torch.stack(rows).view(H, W, -1)


def literal_step(layer: RASA, x: Tensor) -> Tensor:
    """One step on one map ``(H, W, C)``, query by query."""
    H, W, C = x.shape
    R, N, d = layer.sr_ratio, layer.num_heads, C // layer.num_heads
    q = x @ layer.q.weight.T
    if not isinstance(layer.atrous, torch.nn.Identity):
        weight = layer.atrous.conv.weight
        q = sum(F.silu(literal_atrous(weight, q, rate)) for rate in layer.atrous.rates)
    keys = []
    for i in range(max(H // R, 1)):
        for j in range(max(W // R, 1)):
            if R == 1:
                keys.append(x[i, j])
                continue
            reduced = layer.sr.bias
            for dy in range(R):
                for dx in range(R):
                    if i * R + dy < H and j * R + dx < W:
                        reduced = reduced + layer.sr.weight[:, :, dy, dx] @ x[i * R + dy, j * R + dx]
            keys.append(F.layer_norm(reduced, (C,), layer.norm.weight, layer.norm.bias))
    k, v = (torch.stack(keys) @ layer.kv.weight.T).chunk(2, dim=1)
    rows = []
    for query in q.view(-1, C):
        heads = [slice(h * d, (h + 1) * d) for h in range(N)]
        mixed = [((k[:, s] @ query[s]) * d**-0.5).softmax(0) @ v[:, s] for s in heads]
        rows.append(layer.proj.weight @ torch.cat(mixed) + layer.proj.bias)
    return torch.stack(rows).view(H, W, C)


def literal_rasa(layer: RASA, x: Tensor) -> Tensor:
    results = []
    for sample in x:
        if layer.num_recursions == 1:
            results.append(literal_step(layer, sample))
            continue
        y = F.silu(literal_step(layer, sample))
        for _ in range(layer.num_recursions - 1):
            sample = sample + y
            y = F.silu(literal_step(layer, sample))
        results.append(y)
    return torch.stack(results)


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1), (7, 2)])
@pytest.mark.parametrize(
    ("sr_ratio", "rates", "recursions"),
    [(1, (1, 3, 5), 2), (2, (1, 2), 3), (4, (1, 3, 5), 2), (2, None, 2), (1, (1, 3), 1)],
)
def test_equals_the_formula_forward_and_backward(
    size: tuple[int, int], sr_ratio: int, rates: tuple[int, ...] | None, recursions: int
) -> None:
    layer = RASA(4, num_heads=2, sr_ratio=sr_ratio, atrous_rates=rates, num_recursions=recursions).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    gradients = []
    for function in (layer, lambda x: literal_rasa(layer, x)):
        torch.manual_seed(1)
        x = torch.randn(2, *size, 4, dtype=torch.float64, requires_grad=True)
        layer.zero_grad()
        y = function(x)
        (y * torch.randn_like(y)).sum().backward()
        gradients.append([y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())])
    for ours, literal in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, literal, rtol=1e-9, atol=1e-11)


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="num_heads=3: must divide dim=64"):
        RASA(64, num_heads=3)


@pytest.mark.parametrize("size", [(6, 7), (5, 8), (9, 3), (12, 12)])
def test_query_without_gradients_equals_the_formula(size: tuple[int, int]) -> None:
    """Wide dilations take another way there; 5 is wider than, as wide as and narrower than these maps."""
    query = AtrousQuery(4, rates=(1, 3, 5)).double()
    q = torch.randn(2, *size, 4, dtype=torch.float64)
    weight = query.conv.weight
    wanted = torch.stack(
        [sum(F.silu(literal_atrous(weight, sample, rate)) for rate in (1, 3, 5)) for sample in q]
    )
    with torch.no_grad():
        found = query(q.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(found, wanted.detach())
    torch.testing.assert_close(query(q.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), wanted)
