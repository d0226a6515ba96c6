"""Overlapping patch embedding: a strided convolution and a LayerNorm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lvt_core.layers.init import init_conv_


class PatchEmbed(nn.Module):
    """A convolution whose windows overlap shrinks the map (paper, section 3.3; after PVTv2).

    Args:
        in_chans: Channels in.
        embed_dim: Channels out.
        kernel_size: Side of the convolution; the padding is half of it.
        stride: Stride of the convolution.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        in_chans: int,
        *,
        embed_dim: int,
        kernel_size: int,
        stride: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: Any = {"device": device, "dtype": dtype}
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size, stride, kernel_size // 2, **factory)
        self.norm = nn.LayerNorm(embed_dim, **factory)
        init_conv_(self.proj)

    def forward(self, x: Tensor) -> Tensor:
        """Turn an image or map ``(B, C, H, W)`` into ``(B, ceil(H/stride), ceil(W/stride), embed_dim)``."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))
