"""A tiny panoptic data set, and a config of a tiny network on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from det_commands import CATEGORIES, TINY_MODEL
from lvt_det.own_config import OwnData, Split, write_own_config
from lvt_det.panoptic_quality import ids_to_rgb


def write_panoptic_data(root: Path, split: str, count: int, *, size: tuple[int, int] = (64, 96)) -> Split:
    """Two squares on a background of two kinds of stuff; the first image's last square is a crowd."""
    rng = np.random.default_rng(count)
    images, maps = root / split, root / f"maps_{split}"
    images.mkdir(parents=True)
    maps.mkdir()
    listed: dict[str, list] = {"images": [], "annotations": [], "categories": CATEGORIES}
    for i in range(count):
        ids = np.full(size, 70000 + i, np.int32)  # above 65536: all three channels count
        ids[:, size[1] // 2 :] = 300
        ids[:4] = 0
        labels = {70000 + i: 10, 300: 30}
        for number, (top, left) in enumerate(((10, 8), (24, 60))):
            ids[top : top + 28, left : left + 28] = 500 + number
            labels[500 + number] = 5 if (i + number) % 2 else 20
        pixels = rng.integers(0, 60, (*size, 3))
        for segment, category in labels.items():
            pixels[ids == segment, category % 3] += 150 if category in (5, 20) else 60
        Image.fromarray(pixels.astype(np.uint8)).save(images / f"p{i:02d}.png")
        Image.fromarray(ids_to_rgb(ids)).save(maps / f"p{i:02d}.png")
        segments = []
        for segment, category in labels.items():
            rows, columns = np.nonzero(ids == segment)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            crowd = int(i == 0 and segment == 501)
            entry = {"id": segment, "category_id": category, "iscrowd": crowd, "area": len(rows)}
            segments.append({**entry, "bbox": [int(v) for v in box]})
        listed["images"].append(
            {"id": 7 + i, "file_name": f"p{i:02d}.png", "height": size[0], "width": size[1]}
        )
        listed["annotations"].append(
            {"image_id": 7 + i, "file_name": f"p{i:02d}.png", "segments_info": segments}
        )
    path = root / f"{split}.json"
    path.write_text(json.dumps(listed))
    return Split(str(images), str(path), str(maps))


@pytest.fixture
def splits(tmp_path: Path) -> tuple[Split, Split]:
    """4 images to train on, 3 to validate on."""
    return write_panoptic_data(tmp_path, "train", 4), write_panoptic_data(tmp_path, "val", 3)


@pytest.fixture
def config(tmp_path: Path, splits: tuple[Split, Split]) -> Path:
    """A config for the data, a tiny network, two epochs of two steps."""
    own = OwnData(
        things=("square", "box"),
        stuff=("grass", "sky"),
        train=splits[0],
        val=splits[1],
        short_side=64,
        long_side=107,
        stuff_area_limit=80,
        epochs=2,
        steps_per_epoch=2,
        batch_size=2,
        lr=1e-3,
        workers=0,
        pretrained=None,
    )
    write_own_config(tmp_path / "own.py", own)
    path = tmp_path / "tiny.py"
    path.write_text(f'_base_ = "own.py"\n{TINY_MODEL}')
    return path
