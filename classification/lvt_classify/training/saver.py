"""Checkpoints of a run: saving the last and the best few, and resuming from one."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from lvt_classify.training.engine import Training
from lvt_classify.training.quantization import input_ranges, load_input_ranges
from lvt_core.checkpoint import Facts, save_checkpoint
from lvt_core.checkpoint.read import CheckpointError, read_checkpoint
from lvt_core.errors import UserError
from lvt_core.files import write_text

logger = logging.getLogger(__name__)

LAST = "last.pth.tar"
BEST = "model_best.pth.tar"
# Options that the saved state of optimiser, schedule and seeds depends on: a resumed run cannot change them.
FIXED = (
    "opt", "lr", "weight_decay", "momentum", "opt_eps", "opt_betas", "layer_decay", "epochs", "sched",
    "sched_on_updates", "warmup_epochs", "warmup_lr", "min_lr", "cooldown_epochs", "decay_epochs",
    "decay_milestones", "decay_rate", "grad_accum_steps", "seed", "quantization_aware",
)  # fmt: skip
# Values of options that runs of earlier versions lack.
ADDED = {"quantization_aware": False, "decay_milestones": [30.0, 60.0], "exif": False}


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
        """Write ``last.pth.tar``, with everything that resuming needs."""
        t = self.training
        extra: dict[str, Any] = {
            **self.facts.entries(),
            "options": plain(t.options),
            "world": t.runtime.world,
            "optimizer": t.optimizer.state_dict(),
            "position": dataclasses.asdict(position),
        }
        if t.scheduler is not None:
            extra["scheduler"] = t.scheduler.state_dict()
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


def read_run(path: str) -> dict[str, Any]:
    """Read the checkpoint of a run.

    Raises:
        UserError: The checkpoint holds no state of a run.
    """
    content = read_checkpoint(path)
    if not {"position", "optimizer", "options", "world"} <= content.keys():
        raise UserError(f"--resume {path}: holds only weights; start from them with --finetune")
    return content


def restore(path: str, content: dict[str, Any], training: Training) -> Position:
    """Restore the state of training from a checkpoint; return the position of the run.

    Args:
        path: File, for messages.
        content: Content of the file, from `read_run`.
        training: Training to restore.

    Raises:
        UserError: The checkpoint does not fit the options of this run.
    """
    position = Position(**content["position"])
    position.best = [(score, number) for score, number in position.best]
    _check_same_run(path, content, training, position)
    try:
        training.model.load_state_dict(content["state_dict"])
        training.optimizer.load_state_dict(content["optimizer"])
        if training.ema is not None:
            training.ema.module.load_state_dict(content["state_dict_ema"])
        if training.scaler is not None and "scaler" in content:
            training.scaler.load_state_dict(content["scaler"])
        if training.scheduler is not None and "scheduler" in content:
            training.scheduler.load_state_dict(content["scheduler"])
        if training.options.quantization_aware:
            load_input_ranges(training.model, content["input_ranges"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"--resume {path}: does not fit this run: {reason}") from error
    logger.info("resumed %s at epoch %d, batch %d", path, position.epoch, position.batch)
    return position


def _check_same_run(path: str, content: dict[str, Any], training: Training, position: Position) -> None:
    """Log the options that differ; reject differences that the saved state does not allow.

    Raises:
        UserError: The run has another model, joint batch size or fixed option, or no moving average.
    """
    before, now = {**ADDED, **content["options"]}, plain(training.options)
    world = content["world"], training.runtime.world
    if before["model"] != now["model"]:
        raise UserError(f"--resume {path}: holds the model {before['model']}, not --model {now['model']}")
    if training.ema is not None and "state_dict_ema" not in content:
        raise UserError(f"--resume {path}: lacks the moving average that --model-ema needs")
    joint = before["batch_size"] * world[0], now["batch_size"] * world[1]
    if position.batch and joint[0] != joint[1]:
        raise UserError(
            f"--resume {path}: was saved within an epoch, whose batches had {joint[0]} images (all processes "
            f"together), but this run has {joint[1]}; choose -b and the number of processes to match"
        )
    changed = [name for name in FIXED if before.get(name) != now[name]]
    if changed:
        changes = ", ".join(f"{name} was {before.get(name)}, is {now[name]}" for name in changed)
        raise UserError(
            f"--resume {path}: a resumed run must keep its options, but {changes}; to change them, start "
            "from its weights with --finetune"
        )
    silent = {"resume", "output", "experiment", "workers", "log_interval", "data_dir"}
    for name, value in now.items():
        if name not in silent and before.get(name) != value:
            logger.warning("--resume: %s was %s, now is %s", name, before.get(name), value)
    if world[0] != world[1]:
        logger.warning("--resume: the run had %d processes, now has %d", *world)


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
