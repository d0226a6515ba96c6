"""Checkpoints of a run: saving the last and the best few."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

from lvt_classify.training.engine import Training
from lvt_classify.training.quantization import input_ranges
from lvt_core.checkpoint import Facts, save_checkpoint
from lvt_core.checkpoint.finite import not_finite
from lvt_core.errors import UserError
from lvt_core.files import write_text

LAST = "last.pth.tar"
BEST = "model_best.pth.tar"


@dataclasses.dataclass
class Position:
    """Position of a run in its schedule.

    Attributes:
        epoch: Epoch that is in progress, or next.
        batch: Number of batches of this epoch that are done.
        history: Records of the finished epochs.
        best: ``(score, epoch)`` of the kept checkpoints, best first; a larger score is better.
    """

    epoch: int = 0
    batch: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best: list[tuple[float, int]] = dataclasses.field(default_factory=list)


class Saver:
    """Writer of a run's checkpoints; each is written whole or not at all.

    Args:
        folder: Folder of the run.
        training: Training whose state is saved.
        facts: Facts of the run, saved with the weights.
    """

    def __init__(self, folder: Path, training: Training, facts: Facts) -> None:
        self.folder = folder
        self.training = training
        self.facts = facts

    def save(self, position: Position) -> None:
        """Write ``last.pth.tar``, with everything that resuming needs.

        Raises:
            UserError: The weights are not finite, or the file cannot be written.
        """
        t = self.training
        states = [t.model.state_dict(), *([t.ema.module.state_dict()] if t.ema is not None else [])]
        if name := next(filter(None, map(not_finite, states)), ""):
            place = f"epoch {position.epoch}, batch {position.batch}"
            raise UserError(
                f"the weights are not finite in {place} ({name}): lower --lr, clip with --clip-grad, or "
                f"train without --amp; {self.folder / LAST} is unchanged"
            )
        extra: dict[str, Any] = {
            **self.facts.entries(),
            "options": plain(t.options),
            "world": t.runtime.world,
            "optimizer": t.optimizer.state_dict(),
            "position": dataclasses.asdict(position),
        }
        if t.scaler is not None:
            extra["scaler"] = t.scaler.state_dict()
        if t.ema is not None:
            extra["state_dict_ema"] = t.ema.module.state_dict()
        if t.options.quantization_aware:
            extra["input_ranges"] = input_ranges(t.model)
        save_checkpoint(t.model, self.folder / LAST, **extra)

    def rank(self, position: Position, score: float) -> None:
        """Save the run, and keep the checkpoint of the finished epoch if it is among the best few."""
        epoch = position.epoch - 1
        keep = self.training.options.checkpoint_hist
        position.best = sorted([*position.best, (score, epoch)], key=lambda e: (-e[0], e[1]))
        dropped = [e for _, e in position.best[keep:]]
        position.best = [(value, number) for value, number in position.best[:keep]]
        self.save(position)
        if epoch not in dropped:
            _copy(self.folder / LAST, self._path(epoch))
        for old in dropped:
            self._path(old).unlink(missing_ok=True)
        if position.best[0][1] == epoch:
            _copy(self.folder / LAST, self.folder / BEST)

    def _path(self, epoch: int) -> Path:
        return self.folder / f"checkpoint-{epoch}.pth.tar"


def remove_leftovers(folder: Path) -> None:
    """Delete unfinished files of a run that was killed while it wrote."""
    for path in folder.glob(".*.pth.tar.*"):
        path.unlink()


def plain(options: Any) -> dict[str, Any]:
    """Convert options to plain values, for checkpoints and YAML."""
    values = dataclasses.asdict(options)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def write_options(path: Path, options: Any) -> None:
    """Save the options as YAML, which ``-c`` reads."""
    import yaml

    values = {name: value for name, value in plain(options).items() if name != "data_dir"}
    write_text(path, yaml.safe_dump(values, sort_keys=False))


def _copy(source: Path, target: Path) -> None:
    """Link a file under a second name, or copy it if the file system does not support links."""
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
