"""The three trainings that the soak kills: tiny networks on tiny data, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lvt_core.checkpoint.read import read_checkpoint
from tests.commands import SMALL, write_folder

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Trainer:
    """A training that can be killed and continued by one command.

    Attributes:
        task: Folder of the task.
        prepare: Function that writes the data into a folder, and returns the words of the command but for
            the folder of the run, for which ``RUN`` stands.
        started: Text in the output from which on the training takes steps.
        last: Pattern of the files whose newest one continues the run.
        final: Pattern of the file at the end.
        best: Pattern of the file with the best weights.
    """

    task: str
    prepare: Callable[[Path], list[str]]
    started: str
    last: str
    final: str
    best: str

    def position(self, run: Path) -> tuple[int, int]:
        """Return the epoch and the step of the newest checkpoint."""
        files = sorted(run.glob(self.last), key=lambda path: path.stat().st_mtime)
        if not files:
            return (0, 0)
        content = read_run(files[-1])
        if "position" in content:
            return content["position"]["epoch"], content["position"]["batch"]
        return content["meta"]["epoch"], content["meta"]["iter"]

    def weights(self, run: Path) -> dict[str, torch.Tensor]:
        """Return the weights at the end of a run."""
        (file,) = run.glob(self.final)
        return read_run(file)["state_dict"]


def read_run(path: Path) -> dict:
    """Read a checkpoint of any task."""
    from mmengine.logging import HistoryBuffer

    from lvt_core.checkpoint.read import mmengine_globals

    return read_checkpoint(path, allowed=mmengine_globals(HistoryBuffer))


def classification(folder: Path) -> list[str]:
    """Write a folder of classes."""
    data = write_folder(folder / "images", train=16)
    return [
        "main.py", str(data), "--img-size", "32", "-b", "4", "--epochs", "6", "--warmup-epochs", "0",
        "--workers", "2", "--log-interval", "1", "--device", "cpu", "--output", "RUN/..",
        "--experiment", "run",
        "--recovery-interval", "2", "--checkpoint-hist", "2", "--model-ema", "--resume", "auto",
        "--model-kwargs", *SMALL,
    ]  # fmt: skip


def segmentation(folder: Path) -> list[str]:
    """Write pairs of images and masks, and the config."""
    from lvt_seg.own_config import OwnData, Split, write_own_config
    from tests.lvt_seg.conftest import CLASSES, TINY_MODEL, write_pairs

    splits = {}
    for split, count in (("train", 8), ("val", 3)):
        images, masks = folder / "images" / split, folder / "masks" / split
        write_pairs(images, masks, count)
        splits[split] = Split(str(images), str(masks))
    own = OwnData(
        classes=CLASSES,
        first_class=1,
        **splits,
        crop_size=(64, 64),
        short_side=64,
        max_iters=48,
        batch_size=2,
        lr=1e-3,
        workers=0,
        pretrained=None,
    )
    write_own_config(folder / "own.py", own)
    (folder / "tiny.py").write_text(f'_base_ = "own.py"\n{TINY_MODEL}')
    return dense_words(folder / "tiny.py")


def detection(folder: Path) -> list[str]:
    """Write images, maps, annotations and the config."""
    from lvt_det.own_config import OwnData, write_own_config
    from tests.det_commands import TINY_MODEL, write_panoptic_data

    own = OwnData(
        things=("square", "box"),
        stuff=("grass", "sky"),
        train=write_panoptic_data(folder, "train", 4),
        val=write_panoptic_data(folder, "val", 3),
        short_side=64,
        long_side=107,
        stuff_area_limit=80,
        epochs=10,
        batch_size=2,
        lr=1e-3,
        workers=0,
        pretrained=None,
    )
    write_own_config(folder / "own.py", own)
    (folder / "tiny.py").write_text(f'_base_ = "own.py"\n{TINY_MODEL}')
    return dense_words(folder / "tiny.py")


def dense_words(config: Path) -> list[str]:
    """Return the command of a dense task; it says each step."""
    options = ["--cfg-options", "default_hooks.logger.interval=1"]
    return ["tools/train.py", str(config), "--work-dir", "RUN", "--seed", "0", "--resume", *options]


TRAINERS = {
    trainer.task: trainer
    for trainer in (
        Trainer(
            "classification",
            classification,
            "  loss ",
            "last.pth.tar",
            "last.pth.tar",
            "model_best.pth.tar",
        ),
        Trainer("segmentation", segmentation, "Iter(train)", "iter_*.pth", "iter_48.pth", "best_*.pth"),
        Trainer("detection", detection, "Epoch(train)", "epoch_*.pth", "epoch_10.pth", "best_*.pth"),
    )
}
