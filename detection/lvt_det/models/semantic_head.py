"""The stuff branch, with logits brought to the image's size in one step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.seg_heads import PanopticFPNHead
from mmdet.registry import MODELS
from torch import Tensor
from torch.nn import functional as F


@MODELS.register_module()
class DirectPanopticFPNHead(PanopticFPNHead):
    """mmdetection's `PanopticFPNHead`; in testing it makes no map of the padded input's size.

    The base class enlarges the logits to the padded input, cuts the padding off, and resizes again to the
    image's own size. All three are linear and act on rows and columns separately, so one matrix per
    axis does the same.
    """

    def predict(
        self, x: Sequence[Tensor], batch_img_metas: Sequence[dict], rescale: bool = False
    ) -> list[Tensor]:
        """Turn maps of the neck into logits ``(num_stuff + 1, H, W)`` for each image.

        Args:
            x: ``(B, C, H_i, W_i)``, finest first.
            batch_img_metas: ``batch_input_shape``, and for `rescale` ``img_shape`` and ``ori_shape``.
            rescale: Give the logits the image's own size, else that of the padded input.
        """
        logits = self(x)["seg_preds"]
        sizes = []
        for meta in batch_img_metas:
            padded = meta["batch_input_shape"]
            sizes.append(
                (padded, meta["img_shape"], meta["ori_shape"]) if rescale else (padded, padded, padded)
            )
        resized = []
        for image, (padded, cut, size) in zip(logits, sizes, strict=True):
            rows, columns = (
                resize_matrix(image.shape[1 + i], padded[i], cut[i], size[i]).to(image) for i in (0, 1)
            )
            resized.append(rows @ (image @ columns.T))
        return resized


def resize_matrix(size: int, padded: int, cut: int, target: int) -> Tensor:
    """``(target, size)``: linear interpolation to `padded`, the first `cut` of it, and that to `target`."""
    unit = torch.eye(size)[None]
    enlarged = F.interpolate(unit, size=padded, mode="linear", align_corners=False)[..., :cut]
    return F.interpolate(enlarged, size=target, mode="linear", align_corners=False)[0].T
