"""The three trainings that the soak kills: tiny networks on tiny data, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lvt_core.checkpoint.read import read_checkpoint
from tests.commands import SMALL, write_folder


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
    from tests.lvt_seg.conftest import write_data, write_tiny_config

    write_data(folder)
    return dense_words(write_tiny_config(folder, max_iters=48))


def detection(folder: Path) -> list[str]:
    """Write images, maps, annotations and the config."""
    from tests.lvt_det.conftest import write_splits, write_tiny_config

    return dense_words(write_tiny_config(folder, write_splits(folder), epochs=10))


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
