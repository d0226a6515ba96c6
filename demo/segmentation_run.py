"""The segmentation part of the tour: scenes, the real training and test commands, results.

Everything the page shows is read back from files, so the page can be made again without training.

    <out>/data/segmentation/         the data set
    <out>/segmentation/digits/       what train.py leaves
    <out>/segmentation/pictures/     what test.py draws
    <out>/segmentation/              results.json of test.py; run.json
"""

import json
from dataclasses import dataclass
from pathlib import Path

from demo.backgrounds import BACKGROUNDS
from demo.commands import ROOT, Task
from demo.segmentation_data import SegmentationData, make_segmentation_data

TASK = Task("segmentation")
MAX_ITERS = 1050  # as in the config
BATCH_SIZE = 16  # all processes together
CONFIG = ROOT / "demo" / "segmentation_config.py"


@dataclass(frozen=True)
class SegmentationRun:
    """A finished run, read from its files.

    Attributes:
        pictures: Image, prediction, truth and errors of every validation scene, sorted by name.
        metrics: Percentages by name: ``mIoU``, ``aAcc``, ….
        iou: Intersection over union of each class, in percent; ``None`` if it never occurs.
        commands: The commands as they can be typed from the repository's root.
        training_seconds: Wall time of train.py.
        training_scenes: How many scenes there are to train on.
    """

    pictures: list[Path]
    metrics: dict[str, float]
    iou: dict[str, float | None]
    commands: list[str]
    training_seconds: float
    training_scenes: int

    def mean_iou(self, *, digits: bool) -> float:
        """Mean over the digits' or the backgrounds' classes, in percent."""
        chosen = [
            value for name, value in self.iou.items() if value is not None and (name in BACKGROUNDS) != digits
        ]
        return sum(chosen) / len(chosen)


def run_segmentation(
    out: Path, *, settings: SegmentationData, backbone: Path, max_iters: int, processes: int
) -> None:
    """Makes the scenes, trains, tests; leaves the files that `read_segmentation_run` reads.

    Args:
        out: The tour's folder.
        settings: Of the scenes; their seed is the training's seed too.
        backbone: The classifier's checkpoint to start from.
        max_iters: Steps of training.
        processes: That work side by side.

    Raises:
        CommandFailed: If train.py or test.py fails.
    """
    data, folder = out / "data" / "segmentation", out / "segmentation"
    make_segmentation_data(data, settings)
    train, test = segmentation_commands(
        data,
        folder,
        backbone=backbone,
        max_iters=max_iters,
        processes=processes,
        seed=settings.seed,
    )
    TASK.train_and_test(train, test, folder, outputs=("digits", "pictures"))


def trained_segmentor(out: Path) -> Path:
    """The newest checkpoint of a run under the tour's folder.

    Raises:
        ValueError: There is none.
    """
    found = list((out / "segmentation" / "digits").glob("iter_*.pth"))
    if not found:
        raise ValueError(f"--tasks detection: starts from the segmentation part, which has not run in {out}")
    return max(found, key=lambda path: path.stat().st_mtime)


def segmentation_commands(
    data: Path,
    folder: Path,
    *,
    backbone: Path,
    max_iters: int,
    processes: int,
    seed: int,
) -> tuple[list[str], list[str]]:
    """The arguments of train.py and of test.py, with paths as seen from segmentation/."""
    config, work_dir = TASK.path(CONFIG), f"{TASK.path(folder)}/digits"
    common = ["--data-root", TASK.path(data), "--work-dir", work_dir]
    train = ["./tools/dist_train.sh", config, str(processes), *common, "--seed", str(seed), "--no-validate"]
    train += ["--cfg-options", f"model.backbone.init_cfg.checkpoint={TASK.path(backbone)}"]
    train += [f"train_dataloader.batch_size={max(1, BATCH_SIZE // processes)}"]
    if max_iters != MAX_ITERS:
        train += [
            f"{name}={max_iters}" for name in ("train_cfg.max_iters", "default_hooks.checkpoint.interval")
        ]
        train += [f"param_scheduler.1.end={max_iters}", f"param_scheduler.1.begin={max_iters // 20}"]
        train += [f"param_scheduler.0.end={max_iters // 20}"]
    test = ["python", "tools/test.py", config, f"{work_dir}/iter_{max_iters}.pth", *common, "--eval", "mIoU"]
    test += ["--show-dir", f"{TASK.path(folder)}/pictures"]
    test += ["--results-file", f"{TASK.path(folder)}/results.json"]
    return train, test


def read_segmentation_run(out: Path) -> SegmentationRun:
    """Reads the files of a finished run under the tour's folder."""
    folder = out / "segmentation"
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    metrics = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    classes = metrics.pop("classes")
    images = out / "data" / "segmentation" / "images" / "training"
    return SegmentationRun(
        pictures=sorted((folder / "pictures").glob("*.png")),
        metrics=metrics,
        iou={name: values["IoU"] for name, values in classes.items()},
        commands=record["commands"],
        training_seconds=record["training_seconds"],
        training_scenes=len(list(images.iterdir())),
    )
