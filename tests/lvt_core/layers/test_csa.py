"""CSA equals the paper's formula, written with loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lvt_core import CSA


def literal_csa(layer: CSA, x: Tensor) -> Tensor:
    """Compute CSA window by window, head by head, tap by tap."""
    B, H, W, C = x.shape
    N, d = layer.num_heads, C // layer.num_heads
    out = torch.zeros_like(x)
    for b in range(B):
        for i in range((H + 1) // 2):
            for j in range((W + 1) // 2):
                core = x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(-1, C)
                logits = layer.attn.weight @ core.mean(0) + layer.attn.bias
                A = (logits.view(N, 9, 9) * d**-0.5).softmax(-1)
                values = {}
                for n in range(9):
                    y, z = 2 * i - 1 + n // 3, 2 * j - 1 + n % 3
                    if 0 <= y < H and 0 <= z < W:
                        values[n] = layer.tap_weight[n] @ x[b, y, z]
                for n in values:
                    y, z = 2 * i - 1 + n // 3, 2 * j - 1 + n % 3
                    mixed = [
                        sum(A[h, n, m] * values[m][h * d : (h + 1) * d] for m in values) for h in range(N)
                    ]
                    pixel = torch.zeros_like(out)
                    pixel[b, y, z] = torch.cat(mixed)
                    out = out + pixel
    return out @ layer.proj.weight.T + layer.proj.bias


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1), (2, 1), (3, 4)])
def test_equals_the_formula_forward_and_backward(size: tuple[int, int]) -> None:
    layer = CSA(4, num_heads=2).double()
    torch.nn.init.normal_(layer.attn.weight)  # far from uniform attention
    torch.nn.init.normal_(layer.attn.bias)
    torch.nn.init.normal_(layer.proj.bias)
    gradients = []
    for function in (layer, lambda x: literal_csa(layer, x)):
        torch.manual_seed(1)
        x = torch.randn(2, *size, 4, dtype=torch.float64, requires_grad=True)
        layer.zero_grad()
        y = function(x)
        (y * torch.randn_like(y)).sum().backward()
        gradients.append([y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())])
    for ours, literal in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, literal, rtol=1e-10, atol=1e-12)


def test_the_example_of_its_docstring_has_these_shapes() -> None:
    layer, x = CSA(64, num_heads=2), torch.randn(2, 4, 6, 64)
    assert layer.logits(x).shape == (2, 2, 3, 2 * 81)
    assert layer.attention(x).shape == (2 * 6, 2, 9, 9)
    assert layer(x).shape == x.shape


def test_rejects_heads_that_do_not_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="num_heads=3: must divide dim=64"):
        CSA(64, num_heads=3)
