"""A training that diverges stops in one sentence, and keeps the checkpoints that are good."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvt_core.checkpoint.finite import not_finite
from tests.commands import sentence
from tests.seg_commands import train, weights

DIVERGE = ("optim_wrapper.optimizer.lr=1e30", "param_scheduler=None", "optim_wrapper.clip_grad=None")


@pytest.mark.parametrize("amp", [False, True])
def test_a_diverging_run_stops(config: Path, tmp_path: Path, amp: bool) -> None:
    run = tmp_path / "run"
    words = [*(["--amp"] if amp else []), "--cfg-options", *DIVERGE]
    message = sentence(train(config, run, *words, ok=False))
    assert "the loss is" in message or "the weights are not finite" in message
    assert "lower optim_wrapper.optimizer.lr" in message
    assert all(not not_finite(weights(path)) for path in run.glob("*.pth"))


def test_the_good_checkpoint_stays(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config, run, "--cfg-options", "train_cfg.max_iters=2")
    (good,) = run.glob("iter_2.pth")
    train(config, run, "--load-from", good, "--cfg-options", *DIVERGE, ok=False)
    assert good.exists() and all(not not_finite(weights(path)) for path in run.glob("*.pth"))
