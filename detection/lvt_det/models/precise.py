"""Boxes that mixed precision does not round.

mmdetection makes anchors and boxes in the type of the maps. In bfloat16 a coordinate near 1000 is a multiple
of 4, in float16 of 0.5: proposals would be coarse, and the features would come from beside the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class PreciseRPNHead(RPNHead):
    """mmdetection's `RPNHead`; proposals are made in float32."""

    def predict_by_feat(
        self, cls_scores: Sequence[Tensor], bbox_preds: Sequence[Tensor], *args: Any, **kwargs: Any
    ) -> list:
        """Scores and deltas of every level to proposals."""
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            scores, deltas = ([x.float() for x in levels] for levels in (cls_scores, bbox_preds))
            return super().predict_by_feat(scores, deltas, *args, **kwargs)


@MODELS.register_module()
class PreciseRoIExtractor(SingleRoIExtractor):
    """mmdetection's `SingleRoIExtractor` in float32."""

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Extract features ``(K, C, size, size)`` of boxes ``(K, 5)`` from maps ``(B, C, H_i, W_i)``."""
        with torch.autocast(rois.device.type, enabled=False):
            return super().forward([x.float() for x in feats], rois.float(), roi_scale_factor)
