"""The folder of a training run, new or continued; and what all processes of the run have in common."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from lvt_classify.data.classes import ClassIndex
from lvt_classify.options.groups import TrainOptions
from lvt_classify.runtime import Runtime
from lvt_classify.training.saver import LAST, plain
from lvt_core.errors import UserError
from lvt_core.files import require_writable_folder

AUTO = "auto"
# Options that may differ from machine to machine: paths, and workers.
OWN = (
    "data_dir", "output", "resume", "finetune", "class_map", "token_label_data", "teacher_checkpoint",
    "workers",
)  # fmt: skip


def resolve_resume(options: TrainOptions) -> TrainOptions:
    """Replace ``--resume auto`` by the run's own checkpoint, or by nothing if there is none yet.

    So one command starts a job and continues it. A run that continues ignores ``--finetune``.

    Raises:
        UserError: The run has no name.
    """
    if options.resume != AUTO:
        return options
    if not options.experiment:
        raise UserError(f"--resume {AUTO}: requires --experiment NAME, which names the run's folder")
    last = Path(options.output) / options.experiment / LAST
    if not last.is_file():
        return dataclasses.replace(options, resume="")
    return dataclasses.replace(options, resume=str(last), finetune="")


def run_folder(options: TrainOptions, runtime: Runtime) -> Path:
    """Return the folder of the run; a resumed run stays in its folder.

    Raises:
        UserError: The folder holds another run, or cannot be written.
    """
    if options.resume:
        if not Path(options.resume).is_file():
            raise UserError(f"--resume {options.resume}: no such checkpoint")
        return require_writable_folder(Path(options.resume).parent)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = options.experiment or f"{stamp}-{options.model}-{options.img_size}"
    folder = Path(options.output) / name
    if runtime.is_main:
        if (folder / LAST).exists():
            raise UserError(
                f"--experiment {name}: {folder} already holds a run; continue it with "
                f"--resume {folder / LAST}, or choose another name"
            )
        require_writable_folder(folder)
    return folder


def shared_facts(
    options: TrainOptions, train_set: Any, val_set: Any, classes: ClassIndex, content: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what all processes of a run must have in common.

    Args:
        options: Options of the run.
        train_set: Training data.
        val_set: Validation data.
        classes: Classes of the run.
        content: Checkpoint of the resumed run; empty for a new run.
    """
    names = json.dumps(classes.class_to_idx).encode()
    position = content.get("position", {})
    values = {name: value for name, value in plain(options).items() if name not in OWN}
    return {
        "images of the training split": len(train_set),
        "images of the validation split": len(val_set),
        "classes with the hash": hashlib.sha256(names).hexdigest()[:12],
        "the epoch and batch to continue from": (position.get("epoch", 0), position.get("batch", 0)),
        **{f"--{name.replace('_', '-')}": value for name, value in values.items()},
    }
