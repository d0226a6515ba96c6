"""Features of boxes, with boxes that mixed precision does not round."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class PreciseRoIExtractor(SingleRoIExtractor):
    """mmdetection's `SingleRoIExtractor` in float32.

    The base class gives the boxes the maps' type. In bfloat16 a coordinate near 1000 is a multiple of 4,
    in float16 of 0.5: the features would come from beside the box.
    """

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Maps ``(B, C, H_i, W_i)`` and boxes ``(K, 5)`` to features ``(K, C, size, size)``."""
        with torch.autocast(rois.device.type, enabled=False):
            return super().forward([x.float() for x in feats], rois.float(), roi_scale_factor)
