"""Class attention equals its formula, written with loops."""

from __future__ import annotations

import torch
from torch import Tensor

from lvt_core.layers.class_attention import ClassAttention, ClassBlock


def literal_class_attention(layer: ClassAttention, x: Tensor) -> Tensor:
    """Compute the class token's update sample by sample and head by head."""
    d = layer.head_dim
    updates = []
    for tokens in x:
        q = layer.q.weight @ tokens[0]
        k, v = (tokens @ layer.kv.weight.T).chunk(2, dim=1)
        heads = [slice(n * d, (n + 1) * d) for n in range(layer.num_heads)]
        mixed = [(k[:, head] @ q[head] * d**-0.5).softmax(0) @ v[:, head] for head in heads]
        updates.append(layer.proj.weight @ torch.cat(mixed) + layer.proj.bias)
    return torch.stack(updates)[:, None]


def test_equals_the_formula() -> None:
    layer = ClassAttention(6, num_heads=3).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), literal_class_attention(layer, x))


def test_a_block_changes_only_the_class_token() -> None:
    block = ClassBlock(8, num_heads=2)
    x = torch.randn(2, 5, 8)
    y = block(x)
    assert torch.equal(y[:, 1:], x[:, 1:])
    cls = x[:, :1] + block.attn(block.norm1(x))
    torch.testing.assert_close(y[:, :1], cls + block.mlp(block.norm2(cls)))
