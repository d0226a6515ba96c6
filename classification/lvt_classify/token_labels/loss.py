"""Token-labelling loss (Jiang et al. 2021), as LVT and VOLO use it.

Legend: B batch, K classes, L tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvt_classify.token_labels.sparse import SparseTarget
from lvt_core import TokenLogits

AGREE, DISAGREE = 0.5, 0.9  # weight of the teacher's label if it names the true class, and if it does not


class TokenLabelLoss(nn.Module):
    """``cls_weight * CE(class logits, t) + dense_weight * CE(token logits, token targets)``.

    The class target ``t`` is mixed as the image is: if MixToken's box has the share ``1 - a`` of the tokens,
    ``t' = a * t + (1 - a) * flip_batch(t)``. Token targets are not mixed, because the model has already put
    the token logits back to their images.

    Args:
        dense_weight: Weight of the token term.
        cls_weight: Weight of the class term.
        ground_truth: Correct the teacher's image label by the truth first:
            ``t = r * t + (1 - r) * truth``, where ``r`` is 0.5 if both name the same class, else 0.9.
    """

    def __init__(
        self, *, dense_weight: float = 0.5, cls_weight: float = 1.0, ground_truth: bool = False
    ) -> None:
        super().__init__()
        self.dense_weight = dense_weight
        self.cls_weight = cls_weight
        self.ground_truth = ground_truth

    def forward(self, output: TokenLogits, target: Tensor | SparseTarget) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            output: Logits from `LVTClassifier.forward_tokens`.
            target: Planes ``(B, K, 2 + L)``, dense or sparse: the truth, the teacher's image label, then one
                plane per token, row-major. Or ``(B, K)``, one label for the image and all tokens.

        Raises:
            ValueError: Target and model have different numbers of tokens.
        """
        if isinstance(target, SparseTarget):
            return self._sparse(output, target)
        tokens = output.tokens.shape[1]
        if target.ndim == 2:
            cls_target = target  # (B, K)
            token_target = target[:, None].expand(-1, tokens, -1)  # (B, L, K)
        elif target.shape[2] != 2 + tokens:
            raise ValueError(
                f"target: has {target.shape[2] - 2} token labels, but the model has {tokens} tokens"
            )
        else:
            cls_target = target[:, :, 1]
            if self.ground_truth:
                cls_target = _correct(cls_target, target[:, :, 0])
            token_target = target[:, :, 2:].transpose(1, 2)  # (B, L, K)
        y0, x0, y1, x1 = output.box.to(target.device).unbind(0)
        area = (1 - (y1 - y0) * (x1 - x0) / tokens).to(cls_target)
        cls_target = area * cls_target + (1 - area) * cls_target.flip(0)
        return self.cls_weight * soft_cross_entropy(
            output.cls, cls_target
        ) + self.dense_weight * soft_cross_entropy(output.tokens, token_target)

    def _sparse(self, output: TokenLogits, target: SparseTarget) -> Tensor:
        """Return the loss for a sparse target. It mixes losses: cross-entropy is linear in the target."""
        tokens = output.tokens.shape[1]
        if target.rest.shape[1] != 2 + tokens:
            raise ValueError(
                f"target: has {target.rest.shape[1] - 2} token labels, but the model has {tokens} tokens"
            )
        cls = output.cls[:, None]  # (B, 1, K)
        y0, x0, y1, x1 = output.box.to(target.rest.device).unbind(0)
        area = (1 - (y1 - y0) * (x1 - x0) / tokens).to(target.rest)
        loss = area * self._image_loss(cls, target) + (1 - area) * self._image_loss(cls, target, partner=True)
        tokens_loss = target.cross_entropy(output.tokens, 2).mean()
        return self.cls_weight * loss.mean() + self.dense_weight * tokens_loss

    def _image_loss(self, cls: Tensor, target: SparseTarget, partner: bool = False) -> Tensor:
        loss = target.cross_entropy(cls, 1, partner)  # (B, 1)
        if not self.ground_truth:
            return loss
        agree = target.largest(0) == target.largest(1)
        ratio = torch.where(agree.flip(0) if partner else agree, AGREE, DISAGREE).to(loss)[:, None]
        return ratio * loss + (1 - ratio) * target.cross_entropy(cls, 0, partner)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``-sum(target * log_softmax(logits))``, summed over the last dimension."""
    return -(target * F.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


def _correct(teacher: Tensor, truth: Tensor) -> Tensor:
    agree = (teacher.argmax(dim=1) == truth.argmax(dim=1))[:, None]  # (B, 1)
    ratio = torch.where(agree, AGREE, DISAGREE).to(teacher)
    return ratio * teacher + (1 - ratio) * truth
