"""Accuracy counts do not depend on how the data set is cut into batches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lvt_classify.runtime import Runtime
from lvt_classify.training.metrics import AccuracyCounter

HERE = Runtime(torch.device("cpu"), 0, 1, None)


@pytest.mark.parametrize("cuts", [(10,), (4, 4, 2), (1,) * 10])
def test_exact_to_the_last_sample(cuts: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(10, 8), torch.randint(8, (10,))
    counter = AccuracyCounter(HERE.device)
    for part, truth in zip(logits.split(cuts), targets.split(cuts), strict=True):
        counter.add(part, truth)
    result = counter.result(HERE)
    assert result["samples"] == 10
    assert result["loss"] == pytest.approx(F.cross_entropy(logits, targets).item())
    order = logits.argsort(dim=1, descending=True)
    assert result["top1"] == 100 * (order[:, 0] == targets).sum().item() / 10
    assert result["top5"] == 100 * (order[:, :5] == targets[:, None]).any(1).sum().item() / 10
