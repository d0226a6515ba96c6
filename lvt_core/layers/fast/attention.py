"""Attention by PyTorch's fused operator, or in a form that every kind of differentiation supports.

PyTorch's fused operators have neither forward-mode nor second derivatives.

Gain: PyTorch's own; the weights of the attention are never in memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lvt_core.layers.fast.modes import is_transformed


def attend(q: Tensor, k: Tensor, v: Tensor, *, drop: float) -> Tensor:
    """Compute ``softmax(q k^T / sqrt(d)) v``.

    Args:
        q: Queries ``(B, N, L, d)``.
        k: Keys ``(B, N, S, d)``.
        v: Values ``(B, N, S, d)``.
        drop: Dropout on the attention weights.

    Returns:
        ``(B, N, L, d)``.
    """
    if torch.jit.is_scripting():
        return F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
    if is_transformed():
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
    return F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
