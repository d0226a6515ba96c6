"""Weights that are not finite are found, named, and not loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lvt_core import LVT, LVTConfig, load_checkpoint
from lvt_core.checkpoint.finite import not_finite
from lvt_core.checkpoint.read import CheckpointError
from tests.small import SMALL


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_the_first_tensor_is_named(value: float) -> None:
    state = {
        "a": torch.zeros(3),
        "n": torch.tensor(5),
        "b": torch.tensor([1.0, value]),
        "c": torch.full((2,), value),
    }
    assert not_finite(state) == "b"
    assert not_finite({"a": torch.zeros(3), "n": torch.tensor(5), "x": 1}) == "" == not_finite({})


def test_such_a_checkpoint_is_rejected(tmp_path: Path) -> None:
    model = LVT(LVTConfig(**SMALL))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    state["stages.1.patch_embed.proj.bias"][0] = float("nan")
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a.pth: .*patch_embed.proj.bias has values that are NaN"):
        load_checkpoint(model, tmp_path / "a.pth")
