"""The detection part of the tour: scenes, the real training and test commands, results.

Everything the page shows is read back from files, so the page can be made again without training.

    <out>/data/panoptic/          the data set
    <out>/detection/digits/       what train.py leaves
    <out>/detection/pictures/     what test.py draws
    <out>/detection/              results.json of test.py; run.json
"""

import json
from dataclasses import dataclass
from pathlib import Path

from demo.commands import ROOT, Task
from demo.panoptic_data import PanopticData, make_panoptic_data

TASK = Task("detection")
MAX_EPOCHS = 5  # as in the config
BATCH_SIZE = 16  # all processes together
CONFIG = ROOT / "demo" / "panoptic_config.py"


@dataclass(frozen=True)
class PanopticRun:
    """A finished run, read from its files.

    Attributes:
        pictures: Image, prediction and truth of every validation scene, sorted by name.
        metrics: Percentages by name: ``PQ``, ``PQ_th``, ``PQ_st``, ``SQ``, ….
        quality: ``PQ``, ``SQ`` and ``RQ`` of each class, in percent; ``None`` if it never occurs.
        commands: The commands as they can be typed from the repository's root.
        training_seconds: Wall time of train.py.
        training_scenes: How many scenes there are to train on.
    """

    pictures: list[Path]
    metrics: dict[str, float]
    quality: dict[str, dict[str, float] | None]
    commands: list[str]
    training_seconds: float
    training_scenes: int


def run_panoptic(
    out: Path, *, settings: PanopticData, backbone: Path, max_epochs: int, processes: int
) -> None:
    """Makes the scenes, trains, tests; leaves the files that `read_panoptic_run` reads.

    Args:
        out: The tour's folder.
        settings: Of the scenes; their seed is the training's seed too.
        backbone: The checkpoint to start from: the segmentor's, which knows the backgrounds.
        max_epochs: Passes over the training scenes.
        processes: That work side by side.

    Raises:
        CommandFailed: If train.py or test.py fails.
    """
    data, folder = out / "data" / "panoptic", out / "detection"
    make_panoptic_data(data, settings)
    train, test = panoptic_commands(
        data, folder, backbone=backbone, max_epochs=max_epochs, processes=processes, seed=settings.seed
    )
    TASK.train_and_test(train, test, folder, outputs=("digits", "pictures"))


def panoptic_commands(
    data: Path, folder: Path, *, backbone: Path, max_epochs: int, processes: int, seed: int
) -> tuple[list[str], list[str]]:
    """The arguments of train.py and of test.py, with paths as seen from detection/."""
    config, work_dir = TASK.path(CONFIG), f"{TASK.path(folder)}/digits"
    common = ["--data-root", TASK.path(data), "--work-dir", work_dir]
    train = ["./tools/dist_train.sh", config, str(processes), *common, "--seed", str(seed), "--no-validate"]
    train += ["--cfg-options", f"model.backbone.init_cfg.checkpoint={TASK.path(backbone)}"]
    train += [f"train_dataloader.batch_size={max(1, BATCH_SIZE // processes)}"]
    if max_epochs != MAX_EPOCHS:
        names = ("train_cfg.max_epochs", "default_hooks.checkpoint.interval", "param_scheduler.1.end")
        train += [f"{name}={max_epochs}" for name in names]
    test = ["python", "tools/test.py", config, f"{work_dir}/epoch_{max_epochs}.pth", *common, "--eval", "PQ"]
    test += ["--show-dir", f"{TASK.path(folder)}/pictures"]
    test += ["--results-file", f"{TASK.path(folder)}/results.json"]
    return train, test


def read_panoptic_run(out: Path) -> PanopticRun:
    """Reads the files of a finished run under the tour's folder."""
    folder = out / "detection"
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    metrics = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    quality = metrics.pop("classes")
    return PanopticRun(
        pictures=sorted((folder / "pictures").glob("*.png")),
        metrics=metrics,
        quality=quality,
        commands=record["commands"],
        training_seconds=record["training_seconds"],
        training_scenes=len(list((out / "data" / "panoptic" / "train2017").iterdir())),
    )
