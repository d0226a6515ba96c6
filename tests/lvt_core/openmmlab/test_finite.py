"""Losses and weights that are not finite end a dense training in one sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lvt_core.errors import UserError
from lvt_core.openmmlab.finite import FiniteHook

RUNNER: Any = SimpleNamespace(iter=6)


def batch(*names: str) -> dict[str, Any]:
    return {"data_samples": [SimpleNamespace(img_path=name) for name in names]}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_loss_names_the_iteration_and_the_pictures(value: float) -> None:
    outputs = {"loss": torch.tensor(value)}
    with pytest.raises(
        UserError, match=r"the loss is (nan|inf) in iteration 7, on the pictures a.jpg, b.jpg: lower"
    ):
        FiniteHook().after_train_iter(RUNNER, 0, batch("a.jpg", "b.jpg"), outputs)
    FiniteHook().after_train_iter(RUNNER, 0, batch("a.jpg"), {"loss": torch.tensor(1.0)})
    FiniteHook().after_train_iter(RUNNER, 0, None, None)


def test_the_weights_are_looked_at_before_they_are_written() -> None:
    state = {"a": torch.zeros(2), "b": torch.tensor([0.0, float("nan")])}
    with pytest.raises(
        UserError, match=r"the weights are not finite after iteration 7 \(b\); nothing is saved"
    ):
        FiniteHook().before_save_checkpoint(RUNNER, {"state_dict": state})
    FiniteHook().before_save_checkpoint(RUNNER, {"state_dict": {"a": torch.zeros(2)}})
