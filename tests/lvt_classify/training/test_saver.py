"""A run whose weights are not finite keeps its last good checkpoint."""

from __future__ import annotations

import os
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


class Killed(BaseException):
    """The end of a process."""


class Texts(Saver):
    """A saver whose checkpoints are texts: the epoch."""

    def save(self, position: Position) -> None:
        (self.folder / "last.pth.tar").unlink(missing_ok=True)  # as a new file: copies are links
        (self.folder / "last.pth.tar").write_text(str(position.epoch - 1))


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.tar*")}


@pytest.mark.parametrize("scores", [(1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3), (1, 1, 1, 1)])
def test_copies_of_the_best_epochs_survive_a_kill_before_any_operation(
    scores: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training: Any = SimpleNamespace(options=SimpleNamespace(checkpoint_hist=2))
    left = [10**6]

    def counted(operation: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return operation(*args, **kwargs)

        return run

    def train(folder: Path) -> Position:
        """Rank every epoch; a killed process arranges its copies and goes on."""
        folder.mkdir()
        saver, position = Texts(folder, training, Facts()), Position()
        for score in scores:
            position = Position(position.epoch + 1, 0, [], position.best)
            try:
                saver.rank(position, score)
            except Killed:
                left[0] = 10**6
                saver.arrange(position, continued=True)
        return position

    expected = train(tmp_path / "whole")
    kept = [epoch for _, epoch in expected.best]
    texts = {f"checkpoint-{epoch}.pth.tar": str(epoch) for epoch in kept}
    assert files_of(tmp_path / "whole") == {
        **texts, "last.pth.tar": "3", "model_best.pth.tar": str(kept[0]),
    }  # fmt: skip
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    monkeypatch.setattr(os, "replace", counted(os.replace))
    monkeypatch.setattr(os, "link", counted(os.link))
    monkeypatch.setattr(Texts, "save", counted_after(Texts.save, left))
    for number in range(60):
        left[0] = number
        train(tmp_path / str(number))
        assert files_of(tmp_path / str(number)) == files_of(tmp_path / "whole"), number


def counted_after(save: Any, left: list[int]) -> Any:
    """Let a save happen whole: `write_whole` is tested elsewhere."""

    def run(self: Saver, position: Position) -> None:
        before, left[0] = left[0], 10**6
        save(self, position)
        left[0] = before

    return run
