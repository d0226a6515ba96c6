"""The loss beyond the golden cases (`tests/lvt_core/test_golden.py`)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lvt_classify.token_labels.loss import TokenLabelLoss, soft_cross_entropy
from lvt_core import TokenLogits


def output(box: list[int]) -> TokenLogits:
    return TokenLogits(torch.randn(3, 5), torch.randn(3, 4, 5), torch.tensor(box))


def test_one_label_for_every_token() -> None:
    out, target = output([0, 0, 0, 0]), torch.rand(3, 5).softmax(1)
    tokens = soft_cross_entropy(out.tokens, target[:, None].expand(-1, 4, -1))
    wanted = soft_cross_entropy(out.cls, target) + 0.5 * tokens
    torch.testing.assert_close(TokenLabelLoss()(out, target), wanted)


def test_the_box_mixes_the_class_label_by_its_share() -> None:
    out, target = output([0, 1, 1, 2]), F.one_hot(torch.tensor([0, 1, 2]), 5).float()
    mixed = 0.75 * target + 0.25 * target.flip(0)
    loss = TokenLabelLoss(dense_weight=0.0)(out, target)
    torch.testing.assert_close(loss, soft_cross_entropy(out.cls, mixed))


def test_rejects_another_number_of_tokens() -> None:
    with pytest.raises(ValueError, match="target: has 9 token labels, but the model has 4 tokens"):
        TokenLabelLoss()(output([0, 0, 0, 0]), torch.rand(3, 5, 11))
