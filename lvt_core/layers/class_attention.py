"""Class attention: the class token reads the patch tokens (CaiT; used as in VOLO).

Legend: B batch, L patch tokens, C channels, N heads, d = C / N.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from lvt_core.layers.fast.attention import attend
from lvt_core.layers.init import init_linear_

torch.fx.wrap("attend")


class ClassAttention(nn.Module):
    """Multi-head attention whose only query is the class token, the first of the tokens.

    Args:
        dim: Channels ``C``.
        num_heads: Heads ``N``; must divide ``dim``.
        attn_drop: Dropout on the attention weights.
        proj_drop: Dropout after the output projection.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: Any = {"device": device, "dtype": dtype}
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.attn_drop = attn_drop
        self.q = nn.Linear(dim, dim, bias=False, **factory)
        self.kv = nn.Linear(dim, 2 * dim, bias=False, **factory)
        self.proj = nn.Linear(dim, dim, **factory)
        self.proj_drop = nn.Dropout(proj_drop)
        init_linear_(self.q, self.kv, self.proj)

    def forward(self, x: Tensor) -> Tensor:
        """Turn tokens ``(B, 1 + L, C)`` into the class token's update ``(B, 1, C)``."""
        k, v = self.kv(x).chunk(2, dim=-1)  # (B, 1 + L, C) each
        q, k, v = self._split_heads(self.q(x[:, :1])), self._split_heads(k), self._split_heads(v)
        x = attend(q, k, v, drop=self.attn_drop if self.training else 0.0)  # (B, N, 1, d)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))  # (B, 1, C)

    def _split_heads(self, x: Tensor) -> Tensor:
        """Reshape ``(B, L, C)`` to ``(B, N, L, d)``."""
        return x.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)


class ClassBlock(nn.Module):
    """Pre-norm class attention and MLP; patch tokens pass through unchanged.

    Args:
        dim: Channels ``C``.
        num_heads: Heads ``N``.
        mlp_ratio: Hidden width of the MLP over ``dim``.
        drop: Dropout of the projections and the MLP.
        attn_drop: Dropout on the attention weights.
        drop_path: Probability that a sample skips a branch in training.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        mlp_ratio: float = 4.0,
        drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory: Any = {"device": device, "dtype": dtype}
        self.norm1 = nn.LayerNorm(dim, **factory)
        self.attn = ClassAttention(dim, num_heads=num_heads, attn_drop=attn_drop, proj_drop=drop, **factory)
        self.drop_path1 = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim, **factory)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop=drop, **factory)
        self.drop_path2 = DropPath(drop_path)
        init_linear_(self.mlp.fc1, self.mlp.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """Update the class token of tokens ``(B, 1 + L, C)``; the others stay."""
        cls = x[:, :1]  # (B, 1, C)
        cls = cls + self.drop_path1(self.attn(self.norm1(x)))
        cls = cls + self.drop_path2(self.mlp(self.norm2(cls)))
        return torch.cat((cls, x[:, 1:]), dim=1)
