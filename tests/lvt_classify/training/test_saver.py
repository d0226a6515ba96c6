"""A run whose weights are not finite keeps its last good checkpoint."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lvt_classify.training.saver import Position, Saver
from lvt_core.checkpoint import Facts
from lvt_core.errors import UserError


@pytest.mark.parametrize("where", ["weights", "moving average"])
def test_weights_that_are_not_finite_are_not_saved(where: str, tmp_path: Path) -> None:
    model, average = nn.Linear(2, 3), nn.Linear(2, 3)
    with torch.no_grad():
        (model if where == "weights" else average).bias[1] = float("nan")
    training: Any = SimpleNamespace(model=model, ema=SimpleNamespace(module=average))
    (tmp_path / "last.pth.tar").write_bytes(b"good")
    message = (
        r"the weights are not finite in epoch 3, batch 5 \(bias\): lower --lr, .*last.pth.tar is unchanged"
    )
    with pytest.raises(UserError, match=message):
        Saver(tmp_path, training, Facts()).save(Position(epoch=3, batch=5))
    assert (tmp_path / "last.pth.tar").read_bytes() == b"good"
