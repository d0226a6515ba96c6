"""Digit scenes for panoptic segmentation, in the layout of COCO.

    <root>/{train2017,val2017}/000000000012.png
    <root>/annotations/panoptic_{train2017,val2017}/000000000012.png    segment ids: R + 256 G + 256² B
    <root>/annotations/panoptic_{train2017,val2017}.json                the segments and their classes
    <root>/dataset.json                                                 the settings of the data set

Each digit is an instance of its class; the two kinds of background in a scene are stuff.
Command: python -m demo.panoptic.data --out DIR [--train N] [--val N] [--seed S]
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from demo.scenes.backgrounds import BACKGROUNDS
from demo.scenes.compose import Scene, compose_scene, scene_rng
from demo.scenes.data_set import SceneSet, data_command
from demo.scenes.scans import DIGITS, SPLITS, split_scans
from lvt_core.panoptic.quality import ids_to_rgb

HEIGHT = WIDTH = 96
DIGIT_HEIGHT = (40, 54)
DIGITS_PER_SCENE = (2, 3)
THINGS = tuple(f"digit {digit}" for digit in range(DIGITS))
STUFF = tuple(BACKGROUNDS)
CATEGORIES = [
    {"id": number, "name": name, "isthing": int(name in THINGS)}
    for number, name in enumerate((*THINGS, *STUFF), start=1)
]


@dataclass(frozen=True)
class PanopticData(SceneSet):
    """Settings of the scenes for panoptic segmentation."""

    version: ClassVar[int] = 2

    train: int = 1600
    val: int = 150

    def prepare(self, folder: Path) -> None:
        """Make the folders of images and segment maps."""
        for split in SPLITS:
            (folder / f"{split}2017").mkdir()
            (folder / "annotations" / f"panoptic_{split}2017").mkdir(parents=True)

    def write_item(self, folder: Path, split: str, index: int) -> list[dict]:
        """Write the image and the segment map of a scene; return its segments."""
        scene = panoptic_scene(split, index, seed=self.seed)
        ids, segments = segment_map(scene)
        Image.fromarray(scene.image).save(folder / f"{split}2017" / file_name(index))
        maps = folder / "annotations" / f"panoptic_{split}2017"
        Image.fromarray(ids_to_rgb(ids)).save(maps / file_name(index))
        return segments

    def finish(self, folder: Path, split: str, items: list[list[dict]]) -> None:
        """Write the annotation file of a split."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index, segments in enumerate(items):
            number, name = index + 1, file_name(index)
            images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
            annotations.append({"image_id": number, "file_name": name, "segments_info": segments})
        content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        path = folder / "annotations" / f"panoptic_{split}2017.json"
        path.write_text(json.dumps(content), encoding="utf-8")


def file_name(index: int) -> str:
    """Return the name of a scene's image and segment map."""
    return f"{index + 1:012d}.png"


def panoptic_scene(split: str, index: int, *, seed: int) -> Scene:
    """Draw one scene; it does not depend on the scenes before it."""
    rng = scene_rng(seed + 1, split, index)  # other scenes than those for segmentation
    count = int(rng.integers(*DIGITS_PER_SCENE, endpoint=True))
    scans = rng.choice(split_scans(split), count, replace=False).tolist()
    kinds = tuple(rng.choice(BACKGROUNDS, 2, replace=False).tolist())
    return compose_scene(rng, scans=scans, kinds=kinds, height=HEIGHT, width=WIDTH, digit_height=DIGIT_HEIGHT)


def segment_map(scene: Scene) -> tuple[np.ndarray, list[dict]]:
    """Return a scene's segment ids (H, W), and the segments as COCO's file lists them.

    Categories count from 1, digits first. The ids use more than one byte, as real ones do.
    """
    ids = np.zeros(scene.instances.shape, np.int32)
    segments = []
    for number, (mask, category) in enumerate(_masks(scene), start=1):
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


def _masks(scene: Scene) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the mask and the category of each digit, then of each kind of background."""
    for number, thing in enumerate(scene.objects, start=1):
        yield scene.instances == number, 1 + thing.digit
    for kind in range(len(STUFF)):
        yield (scene.instances == 0) & (scene.backgrounds == kind), 1 + len(THINGS) + kind


if __name__ == "__main__":
    data_command(PanopticData)
