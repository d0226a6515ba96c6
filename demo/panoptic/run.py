"""The panoptic part of the tour: its commands, from the segmentor's backbone."""

from __future__ import annotations

from demo.commands import ROOT, Task
from demo.dense import Recipe
from demo.part import Commands, Job
from demo.segmentation.run import trained_segmentor

TASK = Task("detection")
DATA = "panoptic"
MAX_EPOCHS = 2  # as in the config
CONFIG = ROOT / "demo" / "panoptic" / "config.py"
RECIPE = Recipe(
    task=TASK,
    data=DATA,
    config=CONFIG,
    length=MAX_EPOCHS,
    follows={"train_cfg.max_epochs": 1, "default_hooks.checkpoint.interval": 1, "param_scheduler.1.end": 1},
    checkpoint="epoch_{}.pth",
    metric="PQ",
)


def panoptic_commands(job: Job) -> Commands:
    """Build the commands of train.py and test.py."""
    # The segmentor's backbone knows the backgrounds, which the classifier's does not.
    return RECIPE.commands(job, trained_segmentor(job.out))
