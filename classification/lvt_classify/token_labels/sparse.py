"""Sparse soft labels: nearly all classes of a place have the same small share, which is stored once.

Legend: B batch, K classes, k kept classes per cell, h w cells of a map, U classes that one map names (the
largest number in the batch), S tokens per side, P = S * S places, L = 2 + P planes: truth, image, tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lvt_classify.token_labels.maps import crop_span, region_weights

SLOTS = 16  # U is rounded up to a multiple of it, so that shapes rarely change


@dataclass
class LabelMaps:
    """Token-label maps of a batch, whose classes are numbered per image: the numbers are called slots.

    Attributes:
        scores: Logits ``(B, k, h, w)``.
        slots: Slot of each logit, ``(B, k, h, w)``.
        classes: Class of each slot, ``(B, U)``; slots that an image does not need repeat one of its classes.
        span: Longest side of the crops, from `maps.crop_span`.
    """

    scores: Tensor
    slots: Tensor
    classes: Tensor
    span: float

    def to(self, **move: Any) -> LabelMaps:
        """Move to a device."""
        return LabelMaps(self.scores.to(**move), self.slots.to(**move), self.classes.to(**move), self.span)

    def pin_memory(self) -> LabelMaps:
        """Pin memory, as `DataLoader` requests, so that the copy to the GPU is asynchronous."""
        return LabelMaps(
            self.scores.pin_memory(), self.slots.pin_memory(), self.classes.pin_memory(), self.span
        )


def number_classes(maps: Tensor, geometry: Tensor) -> LabelMaps:
    """Give the classes of each map numbers. This reads values, so the loader does it, on the host.

    Args:
        maps: Logits and classes, ``(B, 2, k, h, w)``.
        geometry: Matrices that take fractions of the crops to fractions of the images, ``(B, 2, 3)``.
    """
    named = maps[:, 1].flatten(1).long()  # (B, k * h * w)
    ordered, order = named.sort(dim=1)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ranks = first.cumsum(dim=1) - 1
    most = -(-int(ranks.max() + 1) // SLOTS) * SLOTS
    slots = torch.empty_like(ranks).scatter_(1, order, ranks).view_as(maps[:, 1])
    classes = ordered[:, :1].repeat(1, most).scatter_(1, ranks, ordered)
    return LabelMaps(maps[:, 0], slots.to(torch.int16), classes, crop_span(maps.shape[-2:], geometry))


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy of logits ``(B, n, K)`` and planes of a sparse target, without a dense target in memory.

    Cross-entropy is linear in the target. It needs the log-sum-exp of the logits, their sum, and the logits
    of the few classes with an extra share.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, classes: Tensor, extra: Tensor, rest: Tensor) -> Tensor:
        index = classes[:, None].expand(-1, logits.shape[1], -1)
        normaliser = logits.to(rest.dtype).logsumexp(dim=2)
        chosen = (extra * logits.gather(2, index)).sum(dim=2)
        total = rest * logits.shape[2] + extra.sum(dim=2)
        ctx.save_for_backward(logits, classes, extra, rest, normaliser, total)
        return total * normaliser - chosen - rest * logits.sum(dim=2, dtype=rest.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        logits, classes, extra, rest, normaliser, total = ctx.saved_tensors
        slope = (logits - normaliser[..., None]).exp_()
        slope.mul_((total * grad)[..., None]).sub_((rest * grad)[..., None])
        index = classes[:, None].expand(-1, logits.shape[1], -1)
        slope.scatter_add_(2, index, -extra * grad[..., None])
        return slope.to(logits.dtype), None, None, None


@dataclass
class SparseTarget:
    """Soft labels ``(B, K, L)``: every class has the share ``rest``, some have ``extra`` on top.

    Attributes:
        classes: Classes with an extra share, ``(B, U)``; the shares of a class that is listed twice add up.
        extra: Extra shares, ``(B, L, U)``.
        rest: Share of every class, ``(B, L)``.
        num_classes: Number of classes ``K``.
    """

    classes: Tensor
    extra: Tensor
    rest: Tensor
    num_classes: int

    def mixed(self, share: float) -> SparseTarget:
        """Mix each label, by its share, with the label of its partner in the reversed batch."""
        if share == 1:
            return self
        return SparseTarget(
            torch.cat((self.classes, self.classes.flip(0)), dim=1),
            torch.cat((share * self.extra, (1 - share) * self.extra.flip(0)), dim=2),
            share * self.rest + (1 - share) * self.rest.flip(0),
            self.num_classes,
        )

    def cross_entropy(self, logits: Tensor, plane: int, partner: bool = False) -> Tensor:
        """Return ``-sum(target * log_softmax(logits))`` of each plane, ``(B, n)``.

        Args:
            logits: Logits ``(B, n, K)``.
            plane: First of the ``n`` planes of the target.
            partner: Use the labels of the partners in the reversed batch.
        """
        count = logits.shape[1]
        rest, extra = self.rest[:, plane : plane + count], self.extra[:, plane : plane + count]
        classes = self.classes
        if partner:
            rest, extra, classes = rest.flip(0), extra.flip(0), classes.flip(0)
        return _CrossEntropy.apply(logits, classes, extra, rest)

    def largest(self, plane: int) -> Tensor:
        """Return the class with the largest share in a plane, ``(B,)``; -1 where no share is extra."""
        same = (self.classes[:, :, None] == self.classes[:, None]).to(self.extra)  # (B, U, U)
        value, slot = (same @ self.extra[:, plane, :, None])[..., 0].max(dim=1)
        named = self.classes.gather(1, slot[:, None])[:, 0]
        return torch.where(value > 0, named, -1)

    def dense(self) -> Tensor:
        """Return the labels with a value for every class, ``(B, K, L)``."""
        labels = self.rest[..., None].repeat(1, 1, self.num_classes)
        index = self.classes[:, None].expand_as(self.extra)
        return labels.scatter_add_(2, index, self.extra).transpose(1, 2)


def sparse_targets(
    maps: LabelMaps, geometry: Tensor, truth: Tensor, *, num_classes: int, size: int, smoothing: float
) -> SparseTarget:
    """Return the soft labels of a batch, from its label maps.

    Each place averages the logits of its region of the map, where classes that a cell does not name have
    logit 0. Softmax and label smoothing follow, as in the original release.

    Args:
        maps: Maps from `number_classes`.
        geometry: Matrices that take fractions of the crops to fractions of the images, ``(B, 2, 3)``.
        truth: True classes ``(B,)``.
        num_classes: Number of classes ``K``.
        size: Tokens per side ``S``; 1 gives no plane per token.
        smoothing: Label smoothing.
    """
    used = maps.classes.shape[1]
    slots, scores = (x.flatten(2).transpose(1, 2) for x in (maps.slots.long(), maps.scores.float()))
    cells = scores.new_zeros(*scores.shape[:2], used).scatter_add_(2, slots, scores)  # (B, h * w, U)
    sides = (1,) if size == 1 else (1, size)
    map_size, span = maps.scores.shape[-2:], maps.span
    regions = [region_weights(map_size, geometry, side, span) @ cells for side in sides]
    logits = torch.cat(regions, dim=1)  # (B, 1 + P, U)
    # All other classes have logit 0; so does a slot that is not needed, which counts as one of them.
    top = logits.amax(dim=2, keepdim=True).clamp(min=0)
    named, absent = (logits - top).exp(), (-top).exp()
    total = named.sum(dim=2, keepdim=True) + (num_classes - used) * absent
    off = smoothing / num_classes
    factor = (1.0 - smoothing + off) / total  # as `smooth_soft` does
    extra, rest = (named - absent) * factor, (absent * factor)[..., 0] + off
    one_hot = F.pad(torch.full_like(extra[:, :1, :1], 1.0 - smoothing), (0, used))
    return SparseTarget(
        torch.cat((truth[:, None], maps.classes), dim=1),
        torch.cat((one_hot, F.pad(extra, (1, 0))), dim=1),
        torch.cat((torch.full_like(rest[:, :1], off), rest), dim=1),
        num_classes,
    )
