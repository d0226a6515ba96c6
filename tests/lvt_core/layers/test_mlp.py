"""The MLPs equal their formulas."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lvt_core.layers import DepthwiseMlp, Mlp


def test_the_plain_mlp_is_two_layers_and_gelu() -> None:
    mlp = Mlp(4, 12).double()
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    hidden = F.gelu(x @ mlp.fc1.weight.T + mlp.fc1.bias)
    torch.testing.assert_close(mlp(x), hidden @ mlp.fc2.weight.T + mlp.fc2.bias)


def test_the_depthwise_mlp_sums_each_pixels_neighbours() -> None:
    mlp = DepthwiseMlp(4, hidden_dim=6).double()
    H, W = 3, 5
    x = torch.randn(1, H, W, 4, dtype=torch.float64)
    hidden = (x @ mlp.fc1.weight.T + mlp.fc1.bias)[0]  # (H, W, hidden)
    kernel = mlp.dwconv.weight[:, 0]  # (hidden, 3, 3)
    for y in range(H):
        for z in range(W):
            total = mlp.dwconv.bias
            for dy in range(3):
                for dx in range(3):
                    if 0 <= y + dy - 1 < H and 0 <= z + dx - 1 < W:
                        total = total + kernel[:, dy, dx] * hidden[y + dy - 1, z + dx - 1]
            expected = mlp.fc2.weight @ F.gelu(total) + mlp.fc2.bias
            torch.testing.assert_close(mlp(x)[0, y, z], expected)
