"""Digit scenes for semantic segmentation, laid out as ADE20K is.

    <root>/images/{training,validation}/scene_00012.png
    <root>/annotations/{training,validation}/scene_00012.png    class numbers; 0 does not count
    <root>/classes.txt                                          one name a line, from number 1 on
    <root>/dataset.json                                         the settings all this was made with

Each scene has two kinds of background and two digits; the kinds and the digits are the classes.
Command: python -m demo.segmentation_data --out DIR [--train N] [--val N] [--seed S]
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from demo.backgrounds import BACKGROUNDS
from demo.data_folder import make_once, require_at_least
from demo.scans import DIGITS, split_scans
from demo.scenes import Scene, compose_scene, scene_rng

SIZE = 80
DIGIT_HEIGHT = (46, 58)
DIGITS_PER_SCENE = 2
CLASSES = (*BACKGROUNDS, *(f"digit {digit}" for digit in range(DIGITS)))
FOLDERS = {"train": "training", "val": "validation"}
VERSION = 2  # raise it when the same settings begin to give other pictures


@dataclass(frozen=True)
class SegmentationData:
    """The choices that fix every byte of the data set.

    Attributes:
        train: Scenes to train on; their digits are drawn from the training scans.
        val: Scenes to validate on, of held-out scans.
        seed: Fixes all random choices.
        version: Of the way scenes are made.
    """

    train: int = 2400
    val: int = 200
    seed: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        require_at_least(self, train=1, val=1, seed=0)


def make_segmentation_data(root: Path, settings: SegmentationData) -> bool:
    """Writes the data set whole, or leaves the one that is there if its settings are the same.

    Args:
        root: The data set's folder. One made here with other settings is replaced.
        settings: What to make.

    Returns:
        True if it was written, False if it was already there.

    Raises:
        ValueError: If `root` exists and is not a data set made here.
    """

    def write(folder: Path) -> None:
        for split, count in (("train", settings.train), ("val", settings.val)):
            images, annotations = (folder / kind / FOLDERS[split] for kind in ("images", "annotations"))
            images.mkdir(parents=True)
            annotations.mkdir(parents=True)
            for index in range(count):
                scene = segmentation_scene(split, index, seed=settings.seed)
                Image.fromarray(scene.image).save(images / f"scene_{index:05d}.png")
                Image.fromarray(class_map(scene)).save(annotations / f"scene_{index:05d}.png")
        (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")

    return make_once(root, settings, write)


def segmentation_scene(split: str, index: int, *, seed: int) -> Scene:
    """One scene: the same whatever was drawn before it."""
    rng = scene_rng(seed, split, index)
    scans = rng.choice(split_scans(split), DIGITS_PER_SCENE, replace=False).tolist()
    kinds = tuple(rng.choice(BACKGROUNDS, 2, replace=False).tolist())
    return compose_scene(rng, scans=scans, kinds=kinds, height=SIZE, width=SIZE, digit_height=DIGIT_HEIGHT)


def class_map(scene: Scene) -> np.ndarray:
    """The class of each pixel, uint8 (H, W): 1 and up, as positions in `CLASSES` plus 1."""
    digit = np.array([0, *(len(BACKGROUNDS) + 1 + thing.digit for thing in scene.objects)], np.uint8)
    return np.where(scene.instances > 0, digit[scene.instances], scene.backgrounds + 1).astype(np.uint8)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the digit scenes for segmentation.")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--train", type=int, default=2400, metavar="N")
    parser.add_argument("--val", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        settings = SegmentationData(train=args.train, val=args.val, seed=args.seed)
        written = make_segmentation_data(args.out, settings)
    except ValueError as error:
        parser.error(str(error))
    print(f"{args.out}: {'written' if written else 'already there'}")


if __name__ == "__main__":
    main()
