"""The network as it was published, step by step: what our forms are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_core import SegFormerHead


class LiteralSegFormerHead(nn.Module):
    """Linear per branch, bilinear to stride 4, concatenate, 1x1 convolution, batch norm, ReLU, 1x1.

    Args:
        head: Whose weights it shares.
    """

    def __init__(self, head: SegFormerHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps ``(B, C_i, H_i, W_i)``, finest first, to logits ``(B, num_classes, H_1, W_1)``."""
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
