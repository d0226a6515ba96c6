"""What the loss compares with: from a batch's labels to soft targets."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.data import Mixup, resolve_data_config
from torch import Tensor, nn

from lvt_classify.options.groups import TrainOptions
from lvt_classify.token_labels.labels import Labels
from lvt_classify.token_labels.maps import assemble, image_targets, smooth_soft
from lvt_classify.token_labels.sparse import SparseTarget, sparse_targets
from lvt_classify.token_labels.teacher import dense_teacher_logits


class Targets:
    """Makes targets of one batch, on its device.

    Plain training gives classes ``(B,)``, which the loss smooths. Token labelling gives
    `SparseTarget` from stored maps, ``(B, K, 2 + P)`` from a teacher, else the image's smoothed label
    ``(B, K)`` for every token.

    Args:
        options: Of the run.
        student: The model in training; images come normalised for it.
        num_classes: ``K``.
        size: Tokens per side.
        teacher: Labels each batch instead of stored maps.
    """

    def __init__(
        self,
        options: TrainOptions,
        *,
        student: Any,
        num_classes: int,
        size: int,
        teacher: nn.Module | None,
    ) -> None:
        self.options = options
        self.num_classes = num_classes
        self.size = size
        self.teacher = teacher
        # From the student's normalisation of pixels to the teacher's.
        (mean, std), (own_mean, own_std) = pixel_statistics(student), pixel_statistics(teacher or student)
        device = next(student.parameters()).device
        self.gain, self.offset = (std / own_std).to(device), ((mean - own_mean) / own_std).to(device)

    def __call__(self, images: Tensor, labels: Labels) -> Tensor | SparseTarget:
        """Targets of a batch before it is mixed."""
        smoothing = self.options.smoothing
        if not self.options.token_label:
            return labels.targets
        if self.teacher is not None:
            return self._ask_teacher(images, labels)
        if labels.maps is None:
            return image_targets(labels.targets, self.num_classes, smoothing)
        target = sparse_targets(
            labels.maps,
            labels.geometry,
            labels.targets,
            num_classes=self.num_classes,
            size=self.size,
            smoothing=smoothing,
        )
        return target.dense()[:, :, 1] if self.size == 1 else target

    @torch.no_grad()
    def _ask_teacher(self, images: Tensor, labels: Labels) -> Tensor:
        assert self.teacher is not None
        images = images * self.gain + self.offset
        dense = dense_teacher_logits(self.teacher, images).float()  # (B, K, h, w)
        image = dense.mean(dim=(2, 3))[:, None]  # (B, 1, K)
        if self.size == 1:
            return smooth_soft(image.softmax(dim=-1), self.options.smoothing)[:, 0]
        tokens = F.adaptive_avg_pool2d(dense, self.size).flatten(2).transpose(1, 2)  # (B, P, K)
        return assemble(labels.targets, image, tokens, self.options.smoothing)

    def mix(
        self, mixup: Mixup, images: Tensor, labels: Labels, target: Tensor | SparseTarget
    ) -> tuple[Tensor, Tensor | SparseTarget]:
        """Mix a batch with its reverse, images and targets alike."""
        if isinstance(target, SparseTarget):
            return images, target.mixed(mixup._mix_batch(images))
        if target.ndim == 1:
            return mixup(images, target)  # timm smooths, too
        share = mixup._mix_batch(images)  # in place; 1 means not mixed this time
        return images, share * target + (1.0 - share) * target.flip(0)


def pixel_statistics(model: Any) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the pixels that a timm model expects, ``(3, 1, 1)`` each."""
    config = resolve_data_config({}, model=model)
    return torch.tensor(config["mean"])[:, None, None], torch.tensor(config["std"])[:, None, None]
