"""The segmentation part of the tour: its commands, from the classifier's backbone."""

from __future__ import annotations

from pathlib import Path

from demo.classification.run import BEST
from demo.commands import ROOT, Task
from demo.dense import RUN, Recipe
from demo.part import Commands, Job

TASK = Task("segmentation")
DATA = "segmentation"
MAX_ITERS = 650  # as in the config
CONFIG = ROOT / "demo" / "segmentation" / "config.py"
RECIPE = Recipe(
    task=TASK,
    data=DATA,
    config=CONFIG,
    length=MAX_ITERS,
    follows={
        "train_cfg.max_iters": 1,
        "default_hooks.checkpoint.interval": 1,
        "param_scheduler.1.end": 1,
        "param_scheduler.1.begin": 1 / 20,
        "param_scheduler.0.end": 1 / 20,
    },
    checkpoint="iter_{}.pth",
    metric="mIoU",
)


def segmentation_commands(job: Job) -> Commands:
    """Build the commands of train.py and test.py."""
    return RECIPE.commands(job, job.out / BEST)


def trained_segmentor(out: Path) -> Path:
    """Find the newest checkpoint of a run in the tour's folder.

    Raises:
        ValueError: The folder has no checkpoint.
    """
    checkpoints = list((out / TASK.name / RUN).glob("iter_*.pth"))
    if not checkpoints:
        raise ValueError(
            f"--tasks detection: requires a trained segmentor in {out}; add the task segmentation"
        )
    return max(checkpoints, key=lambda path: path.stat().st_mtime)
