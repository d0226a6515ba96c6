"""Soft targets of the token-labelling loss, from stored maps, a teacher, or the image's class.

Legend: B batch, K classes, S tokens per side, P = S * S places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import resolve_data_config
from torch import Tensor, nn

from lvt_classify.token_labels.labels import Labels
from lvt_classify.token_labels.maps import assemble, image_targets, smooth_soft
from lvt_classify.token_labels.sparse import SparseTarget, sparse_targets
from lvt_classify.token_labels.teacher import dense_teacher_logits


class TokenTargets:
    """Makes the targets of a batch, on its device.

    Args:
        student: Model in training; images arrive normalised for it.
        num_classes: Number of classes ``K``.
        size: Tokens per side ``S``; 1 for soft labels of the image only.
        smoothing: Label smoothing.
        teacher: Model that labels each batch instead of stored maps, or ``None``.
        pictures: How the teacher reads a picture, in timm's words; ``None`` for its configuration.
    """

    def __init__(
        self,
        *,
        student: Any,
        num_classes: int,
        size: int,
        smoothing: float,
        teacher: nn.Module | None,
        pictures: Mapping[str, Any] | None = None,
    ) -> None:
        self.num_classes = num_classes
        self.size = size
        self.smoothing = smoothing
        self.teacher = teacher
        # The teacher may expect pixels normalised by another mean and deviation than the student.
        mean, std = pixel_statistics(student)
        teacher_mean, teacher_std = pixel_statistics(teacher or student, pictures)
        device = next(student.parameters()).device
        self.gain = (std / teacher_std).to(device)
        self.offset = ((mean - teacher_mean) / teacher_std).to(device)

    def __call__(self, images: Tensor, labels: Labels) -> Tensor | SparseTarget:
        """Return the targets of a batch that is not mixed yet.

        Returns:
            `SparseTarget` from stored maps, ``(B, K, 2 + P)`` from a teacher; ``(B, K)``, one label for all
            tokens, where there is neither or ``size`` is 1.
        """
        if self.teacher is not None:
            return self._from_teacher(images, labels)
        if labels.maps is None:
            return image_targets(labels.targets, self.num_classes, self.smoothing)
        target = sparse_targets(
            labels.maps,
            labels.geometry,
            labels.targets,
            num_classes=self.num_classes,
            size=self.size,
            smoothing=self.smoothing,
        )
        return target.dense()[:, :, 1] if self.size == 1 else target

    @torch.no_grad()
    def _from_teacher(self, images: Tensor, labels: Labels) -> Tensor:
        images = images * self.gain + self.offset
        dense = dense_teacher_logits(self.teacher, images).float()  # (B, K, h, w)
        image = dense.mean(dim=(2, 3))[:, None]  # (B, 1, K)
        if self.size == 1:
            return smooth_soft(image.softmax(dim=-1), self.smoothing)[:, 0]
        tokens = F.adaptive_avg_pool2d(dense, self.size).flatten(2).transpose(1, 2)  # (B, P, K)
        return assemble(labels.targets, image, tokens, self.smoothing)


def mix_targets(target: Tensor | SparseTarget, share: float) -> Tensor | SparseTarget:
    """Mix each target, by its share, with that of its partner in the reversed batch."""
    if isinstance(target, SparseTarget):
        return target.mixed(share)
    return share * target + (1.0 - share) * target.flip(0)


def pixel_statistics(model: Any, pictures: Mapping[str, Any] | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the pixels that a timm model expects, ``(3, 1, 1)`` each."""
    config = resolve_data_config(dict(pictures or {}), model=model)
    return torch.tensor(config["mean"])[:, None, None], torch.tensor(config["std"])[:, None, None]
