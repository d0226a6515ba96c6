"""Instances and stuff to one panoptic map (Panoptic Segmentation, CVPR 2019, section 7)."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.seg_heads.panoptic_fusion_heads import HeuristicFusionHead
from mmdet.registry import MODELS
from mmdet.structures import INSTANCE_OFFSET
from mmengine.structures import InstanceData, PixelData
from torch import Tensor


@MODELS.register_module()
class PanopticFusionHead(HeuristicFusionHead):
    """mmdetection's `HeuristicFusionHead`: the same maps, made inside of the instances' boxes.

    Instances are laid down by falling score, without those that are covered by more than ``mask_overlap``;
    what is left is stuff, if its class has at least ``stuff_area_limit`` pixels in the image, else void.
    The base class goes over the whole image several times for every instance.
    """

    def _predict_single(self, mask_results: InstanceData, seg_preds: Tensor, **_: Any) -> PixelData:
        """Fuse the predictions of one image.

        Args:
            mask_results: ``scores`` and ``labels`` ``(N,)`` and ``masks`` ``(N, H, W)`` of the instances.
            seg_preds: Logits of stuff and, last, of things ``(num_stuff + 1, H, W)``.

        Returns:
            ``sem_seg`` ``(1, H, W)`` int32: label + 1000 · instance, instances from 1 on, stuff 0; void has
            the label ``num_classes``.
        """
        order = torch.argsort(-mask_results.scores)
        laid, kept = _lay_instances(mask_results.masks, order.tolist(), self.test_cfg.mask_overlap)
        labels = mask_results.labels[order[kept]]
        segments = labels + INSTANCE_OFFSET * torch.arange(1, len(labels) + 1, device=labels.device)
        stuff = seg_preds.argmax(dim=0) + self.num_things_classes
        if len(segments):
            fused = torch.where(laid > 0, segments[(laid - 1).clamp(min=0).long()], stuff)
        else:
            fused = stuff
        pixels = torch.bincount(stuff[laid == 0], minlength=self.num_classes + 1)
        small = pixels < self.test_cfg.stuff_area_limit  # per class; only instances of things are kept
        is_stuff = laid == 0
        fused[is_stuff & small[stuff]] = self.num_classes
        return PixelData(sem_seg=fused[None].int())


def _lay_instances(masks: Tensor, order: list[int], overlap: float) -> tuple[Tensor, Tensor]:
    """Lay masks over each other, the first of them on top.

    Args:
        masks: ``(N, H, W)`` bool.
        order: Masks in the order in which they are laid, the top first.
        overlap: A mask is left out if more than this part of it is covered already.

    Returns:
        The map ``(H, W)``: 0, or the place of a mask among those that were kept, from 1 on; and which of
        ``order`` were kept, as positions.
    """
    laid = torch.zeros(masks.shape[-2:], dtype=torch.int32, device=masks.device)
    kept = []
    boxes = _boxes(masks)
    for place, index in enumerate(order):
        box = boxes[index]
        if box is None:
            continue
        rows, columns = box
        mask, under = masks[index, rows, columns], laid[rows, columns]
        free = mask & (under == 0)
        area = mask.sum()
        if (area - free.sum()) / (area + 1e-5) > overlap:
            continue
        kept.append(place)
        under[free] = len(kept)
    return laid, torch.tensor(kept, dtype=torch.long, device=masks.device)


def _boxes(masks: Tensor) -> list[tuple[slice, slice] | None]:
    """Find the rows and columns around each mask's pixels; ``None`` for an empty mask."""
    boxes: list[tuple[slice, slice] | None] = []
    pixels = masks.view(torch.uint8)  # on a CPU the maximum of bytes is far faster than any() of bools
    in_row, in_column = pixels.amax(dim=2).cpu(), pixels.amax(dim=1).cpu()
    for row, column in zip(in_row, in_column, strict=True):
        ys, xs = row.nonzero().flatten(), column.nonzero().flatten()
        if len(ys) == 0:
            boxes.append(None)
        else:
            boxes.append((slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1)))
    return boxes
