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
        ranked = sorted([*position.best, (score, position.epoch - 1)], key=lambda e: (-e[0], e[1]))
        position.best = ranked[: self.training.options.checkpoint_hist]
        self.save(position)
        self.arrange(position)

    def arrange(self, position: Position, *, continued: bool = False) -> None:
        """Bring the copies of the best epochs in line with the saved position.

        Args:
            position: Position in the saved ``last.pth.tar``.
            continued: The run might have been killed between saving and copying.
        """
        kept = [epoch for _, epoch in position.best]
        for epoch in range(position.epoch):
            path = self.folder / f"checkpoint-{epoch}.pth.tar"
            if epoch not in kept:
                path.unlink(missing_ok=True)
            elif epoch == position.epoch - 1 and position.batch == 0:
                _copy(self.folder / LAST, path)
        if kept and (continued or kept[0] == position.epoch - 1):
            best = self.folder / f"checkpoint-{kept[0]}.pth.tar"
            if best.exists():
                _copy(best, self.folder / BEST)


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
    if target.exists() and os.path.samefile(source, target):
        return  # renaming one link of a file to another one would do nothing
    temporary = target.with_name(f".{target.name}.new_copy")  # `live_folder` deletes it after a kill
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
