"""The pre-norm block shared by all stages."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn


class Block(nn.Module):
    """A residual block: ``x + mixer(LN(x))``, then ``x + mlp(LN(x))``, both with stochastic depth.

    Args:
        dim: Channels.
        attn: Mixer, `CSA` or `RASA`.
        mlp: Plain or depthwise MLP.
        drop_path: Probability that a sample skips a branch in training.
        device: Device of the norms' parameters.
        dtype: Type of the norms' parameters.
    """

    def __init__(
        self,
        dim: int,
        *,
        attn: nn.Module,
        mlp: nn.Module,
        drop_path: float,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: Any = {"device": device, "dtype": dtype}
        self.norm1 = nn.LayerNorm(dim, **factory)
        self.attn = attn
        self.drop_path1 = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim, **factory)
        self.mlp = mlp
        self.drop_path2 = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        x = x + self.drop_path1(self.attn(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))
