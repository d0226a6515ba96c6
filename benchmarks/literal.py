"""Literal form of the network, step by step as the paper writes it: the base of all ratios."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core import CSA, RASA, SegFormerHead
from lvt_core.export.forms.graph import replace_layers
from lvt_core.layers.mlp import DepthwiseMlp
from lvt_core.layers.window_attention import KERNEL, NUM_TAPS, STRIDE


class LiteralSegFormerHead(nn.Module):
    """Linear per branch, bilinear to stride 4, concatenate, 1x1 convolution, batch norm, ReLU, 1x1.

    Args:
        head: Head whose weights this form shares.
    """

    def __init__(self, head: SegFormerHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Compute logits ``(B, num_classes, H_1, W_1)`` from maps ``(B, C_i, H_i, W_i)``, finest first."""
        head, size = self.head, maps[0].shape[2:]
        branches = []
        for x, projection in zip(maps, head.projections, strict=True):
            batch, _, height, width = x.shape
            y = projection(x.flatten(2).transpose(1, 2))  # (B, H_i W_i, E)
            y = y.transpose(1, 2).reshape(batch, -1, height, width)  # (B, E, H_i, W_i)
            branches.append(F.interpolate(y, size=size, mode="bilinear", align_corners=False))
        y = torch.cat(branches[::-1], dim=1)  # (B, 4 E, H_1, W_1), coarsest first
        y = F.conv2d(y, head.fuse.weight[:, :, None, None])  # (B, E, H_1, W_1)
        return head.classifier(head.dropout(F.relu(head.norm(y))))


def literal_copy(model: nn.Module) -> nn.Module:
    """Copy a model, with layers that compute as the formulas are written; the model itself stays as it is."""
    forms: dict[type, Any] = {
        CSA: LiteralCSA,
        RASA: LiteralRASA,
        DepthwiseMlp: LiteralDepthwiseMlp,
        SegFormerHead: LiteralSegFormerHead,
    }
    return replace_layers(copy.deepcopy(model), forms)


class LiteralCSA(nn.Module):
    """Unfold, a grouped 1x1 convolution, attention in every window, fold (paper, section 3.1).

    Args:
        csa: Layer whose weights this form shares.
    """

    def __init__(self, csa: CSA) -> None:
        super().__init__()
        self.csa = csa

    def forward(self, x: Tensor) -> Tensor:
        """Compute a map ``(B, H, W, C)`` from a map ``(B, H, W, C)``."""
        csa = self.csa
        B, H, W, C = x.shape
        N, d = csa.num_heads, C // csa.num_heads
        x = x.permute(0, 3, 1, 2)  # (B, C, H, W)
        core = F.avg_pool2d(x, STRIDE, STRIDE, ceil_mode=True, count_include_pad=False)
        weights = csa.attn(core.permute(0, 2, 3, 1)).reshape(B, -1, N, NUM_TAPS, NUM_TAPS)
        weights = (weights * d**-0.5).softmax(dim=-1)  # (B, h w, N, 9, 9)
        windows = F.unfold(x, KERNEL, padding=1, stride=STRIDE)  # (B, C 9, h w)
        windows = windows.view(B, C, NUM_TAPS, -1).transpose(1, 2).reshape(B, NUM_TAPS * C, -1, 1)
        v = F.conv2d(windows, csa.tap_weight.reshape(-1, C, 1, 1), groups=NUM_TAPS)  # (B, 9 C, h w, 1)
        v = v.view(B, NUM_TAPS, N, d, -1).permute(0, 4, 2, 1, 3)  # (B, h w, N, 9, d)
        y = (weights @ v).permute(0, 2, 4, 3, 1).reshape(B, C * NUM_TAPS, -1)  # (B, C 9, h w)
        y = F.fold(y, (H, W), KERNEL, padding=1, stride=STRIDE)  # (B, C, H, W)
        return csa.proj(y.permute(0, 2, 3, 1))


class LiteralRASA(nn.Module):
    """Attention with an explicit softmax inside of the recursion (paper, section 3.2).

    Args:
        rasa: Layer whose weights this form shares.
    """

    def __init__(self, rasa: RASA) -> None:
        super().__init__()
        self.rasa = rasa

    def forward(self, x: Tensor) -> Tensor:
        """Compute a map ``(B, H, W, C)`` from a map ``(B, H, W, C)``."""
        if self.rasa.num_recursions == 1:
            return self._step(x)
        y = F.silu(self._step(x))
        for _ in range(self.rasa.num_recursions - 1):
            x = x + y
            y = F.silu(self._step(x))
        return y

    def _step(self, x: Tensor) -> Tensor:
        rasa = self.rasa
        B, H, W, C = x.shape
        q = rasa.q(x).permute(0, 3, 1, 2).contiguous()  # (B, C, H, W)
        if isinstance(rasa.atrous, nn.Identity):
            atrous = q
        else:
            conv = rasa.atrous.conv
            rates = rasa.atrous.rates
            atrous = sum(F.silu(F.conv2d(q, conv.weight, None, 1, rate, rate, conv.groups)) for rate in rates)
        reduced = x
        if isinstance(rasa.sr, nn.Conv2d):
            x_maps = x.permute(0, 3, 1, 2).contiguous()  # (B, C, H, W)
            reduced = F.conv2d(x_maps, rasa.sr.weight, rasa.sr.bias, rasa.sr_ratio)
            reduced = rasa.norm(reduced.permute(0, 2, 3, 1))
        heads, dim = rasa.num_heads, rasa.head_dim
        kv = rasa.kv(reduced).reshape(B, -1, 2, heads, dim).permute(2, 0, 3, 1, 4)
        k, v = kv[0], kv[1]  # (B, N, S, d)
        tokens = atrous.permute(0, 2, 3, 1).reshape(B, H * W, heads, dim).transpose(1, 2)  # (B, N, L, d)
        weights = (tokens @ k.transpose(2, 3) * dim**-0.5).softmax(dim=-1)
        return rasa.proj((weights @ v).transpose(1, 2).reshape(B, H, W, C))


class LiteralDepthwiseMlp(nn.Module):
    """Three convolutions on a channels-first map.

    Args:
        mlp: Layer whose weights this form shares.
    """

    def __init__(self, mlp: DepthwiseMlp) -> None:
        super().__init__()
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        """Compute a map ``(B, H, W, C)`` from a map ``(B, H, W, C)``."""
        mlp = self.mlp
        y = x.permute(0, 3, 1, 2).contiguous()
        y = F.conv2d(y, mlp.fc1.weight[:, :, None, None], mlp.fc1.bias)
        y = F.gelu(mlp.dwconv(y))
        y = F.conv2d(y, mlp.fc2.weight[:, :, None, None], mlp.fc2.bias)
        return y.permute(0, 2, 3, 1)
