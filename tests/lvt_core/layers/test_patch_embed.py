"""Patch embedding rounds the map's size up and normalises every pixel."""

from __future__ import annotations

import pytest
import torch

from lvt_core.layers import PatchEmbed


@pytest.mark.parametrize(("kernel_size", "stride"), [(7, 4), (3, 2)])
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (1, 2)])
def test_sizes_are_rounded_up(size: tuple[int, int], kernel_size: int, stride: int) -> None:
    layer = PatchEmbed(3, embed_dim=8, kernel_size=kernel_size, stride=stride)
    y = layer(torch.randn(2, 3, *size))
    assert y.shape == (2, -(-size[0] // stride), -(-size[1] // stride), 8)
    torch.testing.assert_close(y.mean(dim=3), torch.zeros(y.shape[:3]), atol=1e-5, rtol=0)
