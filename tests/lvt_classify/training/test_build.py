"""Models as their options say: rates of a model, and those of the command."""

from __future__ import annotations

import pytest

from lvt_classify.options.groups import TrainOptions
from lvt_classify.training.build import build_model

SWIN = {"depths": (1, 2, 1, 1), "embed_dim": 8, "num_heads": (1, 1, 1, 1), "img_size": 64, "window_size": 2}


@pytest.mark.parametrize(("rate", "expected"), [(None, 0.1), (0.0, 0.0), (0.3, 0.3)])
def test_a_drop_path_of_0_turns_the_models_own_off(rate: float | None, expected: float) -> None:
    options = TrainOptions(
        data_dir="",
        model="swin_tiny_patch4_window7_224",
        model_kwargs=SWIN,
        num_classes=3,
        img_size=64,
        drop_path=rate,
    )
    model = build_model(options)
    rates = [module.drop_prob for module in model.modules() if type(module).__name__ == "DropPath"]
    assert max(rates, default=0.0) == pytest.approx(expected)
