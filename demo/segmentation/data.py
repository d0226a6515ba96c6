"""Digit scenes for semantic segmentation, in the layout of ADE20K.

    <root>/images/{training,validation}/scene_00012.png
    <root>/annotations/{training,validation}/scene_00012.png    class numbers; 0 does not count
    <root>/classes.txt                                          one name a line, from number 1 on
    <root>/dataset.json                                         the settings of the data set

Each scene has two kinds of background and two digits; the kinds and the digits are the classes.
Command: python -m demo.segmentation.data --out DIR [--train N] [--val N] [--seed S]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from demo.scenes.backgrounds import BACKGROUNDS
from demo.scenes.compose import Scene, compose_scene, scene_rng
from demo.scenes.data_set import SceneSet, data_command
from demo.scenes.scans import DIGITS, split_scans

SIZE = 80
DIGIT_HEIGHT = (46, 58)
DIGITS_PER_SCENE = 2
CLASSES = (*BACKGROUNDS, *(f"digit {digit}" for digit in range(DIGITS)))
FOLDERS = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class SegmentationData(SceneSet):
    """Settings of the scenes for semantic segmentation."""

    version: ClassVar[int] = 3

    train: int = 2400
    val: int = 200

    def prepare(self, folder: Path) -> None:
        """Make the folders of images and annotations, and list the classes."""
        for split in FOLDERS.values():
            for kind in ("images", "annotations"):
                (folder / kind / split).mkdir(parents=True)
        (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")

    def write_item(self, folder: Path, split: str, index: int) -> None:
        """Write the image and the annotation of a scene."""
        scene = segmentation_scene(split, index, seed=self.seed)
        name = f"{FOLDERS[split]}/scene_{index:05d}.png"
        Image.fromarray(scene.image).save(folder / "images" / name)
        Image.fromarray(class_map(scene)).save(folder / "annotations" / name)


def segmentation_scene(split: str, index: int, *, seed: int) -> Scene:
    """Draw one scene; it does not depend on the scenes before it."""
    rng = scene_rng(seed, split, index)
    scans = rng.choice(split_scans(split), DIGITS_PER_SCENE, replace=False).tolist()
    kinds = tuple(rng.choice(BACKGROUNDS, 2, replace=False).tolist())
    return compose_scene(rng, scans=scans, kinds=kinds, height=SIZE, width=SIZE, digit_height=DIGIT_HEIGHT)


def class_map(scene: Scene) -> np.ndarray:
    """Return the class of each pixel, uint8 (H, W): positions in `CLASSES`, counted from 1."""
    digit = np.array([0, *(len(BACKGROUNDS) + 1 + thing.digit for thing in scene.objects)], np.uint8)
    return np.where(scene.instances > 0, digit[scene.instances], scene.backgrounds + 1).astype(np.uint8)


if __name__ == "__main__":
    data_command(SegmentationData)
