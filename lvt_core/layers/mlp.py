"""The two MLPs of LVT: plain (CSA stages) and with a depthwise convolution (RASA stages)."""

from __future__ import annotations

from typing import Any

import timm.layers
import torch
from torch import Tensor, nn

from lvt_core.layers.fast.cache_blocking import in_pieces, works_in_pieces


class Mlp(timm.layers.Mlp):
    """timm's MLP (Linear, GELU, Linear), applied to as many pixels at a time as fit the cache."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., C)`` to ``(..., C)``."""
        if torch.jit.is_scripting():
            return self._forward(x)
        if works_in_pieces(self, x):
            hidden: Any = self.fc1
            bytes_each = x.element_size() * hidden.out_features
            return in_pieces(self._forward, x.flatten(0, -2), bytes_each=bytes_each).view(x.shape)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        return self.drop2(self.fc2(self.drop1(self.act(self.fc1(x)))))


class DepthwiseMlp(nn.Module):
    """An MLP with neighbours: 1x1 conv, 3x3 depthwise conv, GELU, 1x1 conv (paper, section 3.2; after PVTv2).

    The 1x1 convolutions are Linears on the channels-last map: the same function without permutes. All three
    layers keep PyTorch's default initialisation, which is the same for a Linear and a 1x1 convolution.

    Args:
        dim: Channels in and out.
        hidden_dim: Channels between.
        drop: Dropout after the activation and after the second layer.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden_dim: int,
        drop: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: Any = {"device": device, "dtype": dtype}
        self.fc1 = nn.Linear(dim, hidden_dim, **factory)
        self.dwconv = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1, groups=hidden_dim, **factory)
        self.act = nn.GELU()
        self.drop1 = nn.Dropout(drop)
        self.fc2 = nn.Linear(hidden_dim, dim, **factory)
        self.drop2 = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        if torch.jit.is_scripting():
            return self._forward(x)
        if works_in_pieces(self, x):
            _, H, W, _ = x.shape
            bytes_each = x.element_size() * H * W * self.dwconv.out_channels
            return in_pieces(self._forward, x, bytes_each=bytes_each)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)  # (B, H, W, hidden)
        x = self.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = self.drop1(self.act(x))
        return self.drop2(self.fc2(x))  # (B, H, W, C)
