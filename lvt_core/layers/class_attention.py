"""Class attention: the class token reads the patch tokens (CaiT; used as in VOLO).

Legend: B batch, L patch tokens, C channels, N heads, d = C / N.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from lvt_core.layers.init import init_linear_


class ClassAttention(nn.Module):
    """Multi-head attention whose only query is the class token, the first of the tokens.

    Args:
        dim: Channels ``C``.
        num_heads: Heads ``N``; must divide ``dim``.
        attn_drop: Dropout on the attention weights.
        proj_drop: Dropout after the output projection.
    """

    def __init__(self, dim: int, *, num_heads: int, attn_drop: float = 0.0, proj_drop: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.attn_drop = attn_drop
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        init_linear_(self.q, self.kv, self.proj)

    def forward(self, x: Tensor) -> Tensor:
        """Turn tokens ``(B, 1 + L, C)`` into the class token's update ``(B, 1, C)``."""
        k, v = self.kv(x).chunk(2, dim=-1)  # (B, 1 + L, C) each
        q, k, v = (
            t.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2) for t in (self.q(x[:, :1]), k, v)
        )  # (B, N, 1 or 1 + L, d)
        drop = self.attn_drop if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=drop)  # (B, N, 1, d)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))  # (B, 1, C)


class ClassBlock(nn.Module):
    """Pre-norm class attention and MLP; patch tokens pass through unchanged.

    Args:
        dim: Channels ``C``.
        num_heads: Heads ``N``.
        mlp_ratio: Hidden width of the MLP over ``dim``.
        drop: Dropout of the projections and the MLP.
        attn_drop: Dropout on the attention weights.
        drop_path: Probability that a sample skips a branch in training.
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
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = ClassAttention(dim, num_heads=num_heads, attn_drop=attn_drop, proj_drop=drop)
        self.drop_path1 = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop=drop)
        self.drop_path2 = DropPath(drop_path)
        init_linear_(self.mlp.fc1, self.mlp.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """Update the class token of tokens ``(B, 1 + L, C)``; the others stay."""
        cls = x[:, :1]  # (B, 1, C)
        cls = cls + self.drop_path1(self.attn(self.norm1(x)))
        cls = cls + self.drop_path2(self.mlp(self.norm2(cls)))
        return torch.cat((cls, x[:, 1:]), dim=1)
