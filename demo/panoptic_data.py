"""Digit scenes for panoptic segmentation, laid out as COCO is.

    <root>/{train2017,val2017}/000000000012.png
    <root>/annotations/panoptic_{train2017,val2017}/000000000012.png    segment ids: R + 256 G + 256² B
    <root>/annotations/panoptic_{train2017,val2017}.json                the segments and their classes
    <root>/dataset.json                                                 the settings all this was made with

Each digit is an instance of its class; the two kinds of background in a scene are stuff.
Command: python -m demo.panoptic_data --out DIR [--train N] [--val N] [--seed S]
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from demo.backgrounds import BACKGROUNDS
from demo.data_folder import make_once, require_at_least
from demo.scans import DIGITS, split_scans
from demo.scenes import Scene, compose_scene, scene_rng

HEIGHT = WIDTH = 96
DIGIT_HEIGHT = (40, 54)
DIGITS_PER_SCENE = (2, 3)
THINGS = tuple(f"digit {digit}" for digit in range(DIGITS))
STUFF = tuple(BACKGROUNDS)
VERSION = 1  # raise it when the same settings begin to give other pictures


@dataclass(frozen=True)
class PanopticData:
    """The choices that fix every byte of the data set.

    Attributes:
        train: Scenes to train on; their digits are drawn from the training scans.
        val: Scenes to validate on, of held-out scans.
        seed: Fixes all random choices.
        version: Of the way scenes are made.
    """

    train: int = 1600
    val: int = 150
    seed: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        require_at_least(self, train=1, val=1, seed=0)


def make_panoptic_data(root: Path, settings: PanopticData) -> bool:
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
            _write_split(folder, split, count, seed=settings.seed)

    return make_once(root, settings, write)


def panoptic_scene(split: str, index: int, *, seed: int) -> Scene:
    """One scene: the same whatever was drawn before it."""
    rng = scene_rng(seed + 1, split, index)  # others than the scenes for segmentation
    count = int(rng.integers(*DIGITS_PER_SCENE, endpoint=True))
    scans = rng.choice(split_scans(split), count, replace=False).tolist()
    kinds = tuple(rng.choice(BACKGROUNDS, 2, replace=False).tolist())
    return compose_scene(rng, scans=scans, kinds=kinds, height=HEIGHT, width=WIDTH, digit_height=DIGIT_HEIGHT)


def segment_map(scene: Scene) -> tuple[np.ndarray, list[dict]]:
    """A scene's segment ids (H, W), and what COCO's file says about each segment.

    Categories are numbered from 1 on, digits first. Ids are spread over all three colour channels.
    """
    ids = np.zeros(scene.instances.shape, np.int32)
    segments = []
    categories = [len(THINGS) + 1 + kind for kind in range(len(STUFF))]
    parts = [
        (scene.instances == number, 1 + thing.digit) for number, thing in enumerate(scene.objects, start=1)
    ]
    parts += [
        ((scene.instances == 0) & (scene.backgrounds == kind), category)
        for kind, category in enumerate(categories)
    ]
    for number, (mask, category) in enumerate(parts, start=1):
        if mask.any():
            segment_id = category + 1000 * number
            ids[mask] = segment_id
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            segments.append(
                {
                    "id": segment_id,
                    "category_id": category,
                    "iscrowd": 0,
                    "bbox": [int(side) for side in box],
                    "area": int(mask.sum()),
                }
            )
    return ids, segments


def _write_split(folder: Path, split: str, count: int, *, seed: int) -> None:
    name = f"{split}2017"
    images, maps = folder / name, folder / "annotations" / f"panoptic_{name}"
    images.mkdir(parents=True)
    maps.mkdir(parents=True)
    kinds = [(thing, 1) for thing in THINGS] + [(kind, 0) for kind in STUFF]
    categories = [{"id": i, "name": kind, "isthing": thing} for i, (kind, thing) in enumerate(kinds, start=1)]
    content: dict[str, list] = {"images": [], "annotations": [], "categories": categories}
    for index in range(count):
        scene = panoptic_scene(split, index, seed=seed)
        ids, segments = segment_map(scene)
        file = f"{index + 1:012d}.png"
        Image.fromarray(scene.image).save(images / file)
        Image.fromarray(np.stack((ids % 256, ids // 256 % 256, ids // 65536), -1).astype(np.uint8)).save(
            maps / file
        )
        size = {"height": HEIGHT, "width": WIDTH}
        content["images"].append({"id": index + 1, "file_name": file, **size})
        content["annotations"].append({"image_id": index + 1, "file_name": file, "segments_info": segments})
    text = json.dumps(content)
    (folder / "annotations" / f"panoptic_{name}.json").write_text(text, encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the digit scenes for panoptic segmentation.")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--train", type=int, default=1600, metavar="N")
    parser.add_argument("--val", type=int, default=150, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        settings = PanopticData(train=args.train, val=args.val, seed=args.seed)
        written = make_panoptic_data(args.out, settings)
    except ValueError as error:
        parser.error(str(error))
    print(f"{args.out}: {'written' if written else 'already there'}")


if __name__ == "__main__":
    main()
