"""The two dense parts of the tour: their commands, and what is read back from their files.

<out>/data/<data set>/           the data set
<out>/<task>/digits/             files of train.py
<out>/<task>/predictions/        predicted maps of test.py
<out>/<task>/                    results.json of test.py; run.json; logs
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.commands import Task
from demo.part import Commands, Job, read_record

RUN = "digits"
PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Recipe:
    """Differences between the commands of the dense parts.

    Attributes:
        task: Folder with the commands.
        data: Name of the data set's folder.
        config: Config file.
        length: Length of training in the config, in iterations or epochs.
        follows: Values of the config that follow the length, and the share of the length that each has.
        checkpoint: Name of the last checkpoint, with the length in place of ``{}``.
        metric: Name of the metric for ``--eval``.
    """

    task: Task
    data: str
    config: Path
    length: int
    follows: Mapping[str, float]
    checkpoint: str
    metric: str

    def commands(self, job: Job, backbone: Path) -> Commands:
        """Build the commands.

        Args:
            job: Choices of the run.
            backbone: Checkpoint whose backbone the training starts from.
        """
        folder = self.task.path(job.out / self.task.name)
        config, work_dir = self.task.path(self.config), f"{folder}/{RUN}"
        common = ["--data-root", self.task.path(job.out / "data" / self.data), "--work-dir", work_dir]
        train = ["./tools/dist_train.sh", config, str(job.processes), *common]
        train += ["--seed", str(job.data_set.seed), "--no-validate"]
        train += ["--cfg-options", f"model.backbone.init_cfg.checkpoint={self.task.path(backbone)}"]
        train += [f"train_dataloader.batch_size={max(1, job.batch_size // job.processes)}"]
        if job.length != self.length:
            train += [f"{name}={int(share * job.length)}" for name, share in self.follows.items()]
        checkpoint = f"{work_dir}/{self.checkpoint.format(job.length)}"
        test = ["python", "tools/test.py", config, checkpoint, *common, "--eval", self.metric]
        test += ["--out", f"{folder}/{PREDICTIONS}", "--results-file", f"{folder}/results.json"]
        return Commands(train, test, outputs=(RUN, PREDICTIONS))


@dataclass(frozen=True)
class DenseRun:
    """Finished run of a dense part, read from its files.

    Attributes:
        folder: Folder of the results.
        metrics: Percentages by name.
        classes: Percentages of each class by name; ``None`` for a class that never occurs.
        commands: The commands as you type them in the repository's root.
        training_seconds: Wall time of train.py.
    """

    folder: Path
    metrics: dict[str, float]
    classes: dict[str, dict[str, float] | None]
    commands: list[str]
    training_seconds: float


def read_run(folder: Path) -> DenseRun:
    """Read the files of a finished run."""
    metrics: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    classes = metrics.pop("classes")
    occurring = {name: values and None not in values.values() for name, values in classes.items()}
    return DenseRun(
        folder=folder,
        metrics=metrics,
        classes={name: values if occurring[name] else None for name, values in classes.items()},
        **read_record(folder),
    )
