"""Digit pictures for classification, in the layout of ImageNet, with token-label maps.

    <root>/train/digit_3/scan0123_0.png         rendering 0 of scan 123
    <root>/val/digit_3/scan0120_0.png           the only rendering of a held-out scan
    <root>/token_labels/digit_3/scan0123_0.pt   the label map of a training picture
    <root>/dataset.json                         the settings of the data set

Command: python -m demo.classification.data --out DIR [--train-per-scan N] [--seed S]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image

from demo.classification.token_labels import token_label_map
from demo.scenes.backgrounds import BACKGROUNDS
from demo.scenes.compose import Scene, compose_scene, scene_rng
from demo.scenes.data_set import DataSet, data_command
from demo.scenes.scans import DIGITS, SPLITS, load_scans, split_scans

LABEL_FOLDER = "token_labels"
IMAGE_SIZE = 64
CROP_SIZE = 48  # side of the network's input
LABEL_CELLS = 8
DIGIT_HEIGHT = (44, 51)


@dataclass(frozen=True)
class ClassificationData(DataSet):
    """Settings of the digit pictures.

    Attributes:
        train_per_scan: Renderings of each training scan; a held-out scan has one.
        scan_step: Step through the scans of each class; more than 1 is for a quick look.
    """

    smallest: ClassVar[dict[str, int]] = {"train_per_scan": 1, "seed": 0, "scan_step": 1}
    version: ClassVar[int] = 3

    train_per_scan: int = 3
    scan_step: int = 1

    def count(self, split: str) -> int:
        """Return how many pictures a split has."""
        return len(split_scans(split, step=self.scan_step)) * self._renderings(split)

    def prepare(self, folder: Path) -> None:
        """Make one folder per class."""
        for kind in (*SPLITS, LABEL_FOLDER):
            for digit in range(DIGITS):
                (folder / kind / f"digit_{digit}").mkdir(parents=True)

    def write_item(self, folder: Path, split: str, index: int) -> None:
        """Write a picture, and its label map if it is for training."""
        place, rendering = divmod(index, self._renderings(split))
        scan = split_scans(split, step=self.scan_step)[place]
        scene = classification_scene(scan, seed=self.seed, split=split, index=index)
        name = f"digit_{load_scans().digit[scan]}/scan{scan:04d}_{rendering}"
        Image.fromarray(scene.image).save(folder / split / f"{name}.png")
        if split == "train":
            torch.save(token_label_map(scene, cells=LABEL_CELLS), folder / LABEL_FOLDER / f"{name}.pt")

    def _renderings(self, split: str) -> int:
        return self.train_per_scan if split == "train" else 1


def classification_scene(scan: int, *, seed: int, split: str, index: int) -> Scene:
    """Draw one digit on one kind of background, 64 x 64."""
    rng = scene_rng(seed, split, index)
    kind = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    return compose_scene(
        rng,
        scans=(scan,),
        kinds=(kind,),
        height=IMAGE_SIZE,
        width=IMAGE_SIZE,
        digit_height=DIGIT_HEIGHT,
    )


if __name__ == "__main__":
    data_command(ClassificationData)
