"""The two MLPs of LVT: plain (CSA stages) and with a depthwise convolution (RASA stages)."""

from __future__ import annotations

import timm.layers
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core.layers.cache_blocking import in_pieces, is_in_pieces, piece_length

CHANNEL_GROUP = 32  # pieces of channels are multiples of it: whole vectors, whole cache lines


class Mlp(timm.layers.Mlp):
    """Linear, GELU, Linear: timm's, which treats as many pixels at a time as fit the cache."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., C)`` to ``(..., C)``."""
        bytes_each = x.element_size() * self.fc1.weight.shape[0]
        return in_pieces(super().forward, x.flatten(0, -2), bytes_each=bytes_each).view(x.shape)


class DepthwiseMlp(nn.Module):
    """1x1 conv, 3x3 depthwise conv, GELU, 1x1 conv (paper, section 3.2; after PVTv2).

    The 1x1 convolutions are Linears on the channels-last map: the same function, no permutes. All
    three keep PyTorch's default initialisation, which is the same for a Linear and a 1x1 convolution.

    Args:
        dim: Channels in and out.
        hidden_dim: Channels between.
        drop: Dropout after the activation and after the second layer.
    """

    def __init__(self, dim: int, *, hidden_dim: int, drop: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.dwconv = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1, groups=hidden_dim)
        self.act = nn.GELU()
        self.drop1 = nn.Dropout(drop)
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop2 = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        if is_in_pieces(x):
            return self._in_channel_pieces(x)
        x = self.fc1(x)  # (B, H, W, hidden)
        x = self.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = self.drop1(self.act(x))
        return self.drop2(self.fc2(x))  # (B, H, W, C)

    def _in_channel_pieces(self, x: Tensor) -> Tensor:
        """The same: hidden channels do not meet before `fc2`, which adds up their shares."""
        B, H, W, C = x.shape
        conv, x = self.dwconv, x.flatten(0, 2)  # (B*H*W, C)
        group_bytes = CHANNEL_GROUP * x.element_size() * B * H * W
        size = CHANNEL_GROUP * piece_length(group_bytes)
        assert conv.bias is not None
        total = self.fc2.bias.repeat(len(x), 1)
        for w1, b1, kernel, bias, w2 in zip(
            self.fc1.weight.split(size),
            self.fc1.bias.split(size),
            conv.weight.split(size),
            conv.bias.split(size),
            self.fc2.weight.split(size, dim=1),
            strict=True,
        ):
            y = F.linear(x, w1, b1).view(B, H, W, -1).permute(0, 3, 1, 2)  # (B, size, H, W)
            y = F.conv2d(y, kernel, bias, padding=1, groups=len(kernel)).permute(0, 2, 3, 1)
            total.addmm_(self.drop1(self.act(y)).flatten(0, 2), w2.t())  # (B*H*W, C)
        return self.drop2(total.view(B, H, W, C))
