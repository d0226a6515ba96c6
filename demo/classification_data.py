"""Digit pictures for classification, laid out as ImageNet is, with token-label maps.

    <root>/train/digit_3/scan0123_0.png         rendering 0 of scan 123
    <root>/val/digit_3/scan0120_0.png           one rendering per held-out scan
    <root>/token_labels/digit_3/scan0123_0.pt   one map per training picture
    <root>/dataset.json                         the settings all this was made with

Command: python -m demo.classification_data --out DIR [--train-per-scan N] [--seed S]
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from demo.backgrounds import BACKGROUNDS
from demo.data_folder import make_once, require_at_least
from demo.scans import SPLITS, load_scans, split_scans
from demo.scenes import Scene, compose_scene, scene_rng
from demo.token_labels import token_label_map

LABEL_FOLDER = "token_labels"
IMAGE_SIZE = 64
CROP_SIZE = 48  # what the network sees of them
LABEL_CELLS = 8
DIGIT_HEIGHT = (44, 51)
VERSION = 2  # raise it when the same settings begin to give other pictures


@dataclass(frozen=True)
class ClassificationData:
    """The choices that fix every byte of the data set.

    Attributes:
        train_per_scan: Renderings of each training scan; held-out scans are rendered once.
        seed: Fixes all random choices.
        scan_step: Uses only every n-th scan of each class; more than 1 is for a quick look.
        version: Of the way pictures are made.
    """

    train_per_scan: int = 3
    seed: int = 0
    scan_step: int = 1
    version: int = VERSION

    def __post_init__(self) -> None:
        require_at_least(self, train_per_scan=1, seed=0, scan_step=1)


def make_classification_data(root: Path, settings: ClassificationData) -> bool:
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
        for split in SPLITS:
            _write_split(folder, split, settings)

    return make_once(root, settings, write)


def classification_scene(scan: int, *, seed: int, split: str, index: int) -> Scene:
    """One digit on one kind of background, 64 x 64."""
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


def _write_split(root: Path, split: str, settings: ClassificationData) -> None:
    """Writes the pictures of one split, and for the training split their label maps."""
    renderings = settings.train_per_scan if split == "train" else 1
    for place, scan in enumerate(split_scans(split, step=settings.scan_step)):
        class_folder = f"digit_{load_scans().digit[scan]}"
        for rendering in range(renderings):
            index = place * renderings + rendering
            scene = classification_scene(scan, seed=settings.seed, split=split, index=index)
            stem = f"scan{scan:04d}_{rendering}"
            picture = root / split / class_folder / f"{stem}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(scene.image).save(picture)
            if split == "train":
                labels = root / LABEL_FOLDER / class_folder / f"{stem}.pt"
                labels.parent.mkdir(parents=True, exist_ok=True)
                torch.save(token_label_map(scene, cells=LABEL_CELLS), labels)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the digit pictures for classification.")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--train-per-scan", type=int, default=3, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        settings = ClassificationData(train_per_scan=args.train_per_scan, seed=args.seed)
        written = make_classification_data(args.out, settings)
    except ValueError as error:
        parser.error(str(error))
    print(f"{args.out}: {'written' if written else 'already there'}")


if __name__ == "__main__":
    main()
