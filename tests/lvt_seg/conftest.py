"""A tiny data set of images and masks, and a config of a tiny network on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvt_seg.own_config import OwnData, Split, write_own_config

CLASSES = ("red", "green", "blue")
TINY_MODEL = """
model = dict(
    backbone=dict(embed_dims=(8, 8, 16, 16), num_heads=(2, 2, 2, 2), depths=(1, 1, 1, 1), drop_path_rate=0.0),
    decode_head=dict(in_channels=(8, 8, 16, 16), channels=16, dropout_ratio=0.0),
)
env_cfg = dict(cudnn_benchmark=False)
"""


def write_pairs(images: Path, masks: Path, count: int, *, size: tuple[int, int] = (64, 80)) -> None:
    """Noise tinted by class: the mask has 1 to 3 in two halves, and a row of 0 that does not count."""
    rng = np.random.default_rng(count)
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for i in range(count):
        mask = np.full(size, 1 + i % 3, np.uint8)
        mask[:, size[1] // 2 :] = 1 + (i + 1) % 3
        mask[:2] = 0
        pixels = rng.integers(0, 60, (*size, 3))
        for label in range(3):
            pixels[mask == label + 1, label] += 180
        Image.fromarray(pixels.astype(np.uint8)).save(images / f"p{i:02d}.png")
        Image.fromarray(mask).save(masks / f"p{i:02d}.png")


def write_data(folder: Path) -> None:
    """Write ``images/{train,val}`` and ``masks/{train,val}``: 8 and 3 pairs."""
    for split, count in (("train", 8), ("val", 3)):
        write_pairs(folder / "images" / split, folder / "masks" / split, count)


def write_tiny_config(folder: Path, *, max_iters: int) -> Path:
    """Write a config for the data in a folder and a tiny network; return its file."""
    own = OwnData(
        classes=CLASSES,
        first_class=1,
        train=Split(str(folder / "images/train"), str(folder / "masks/train")),
        val=Split(str(folder / "images/val"), str(folder / "masks/val")),
        crop_size=(64, 64),
        short_side=64,
        max_iters=max_iters,
        batch_size=2,
        lr=1e-3,
        workers=0,
        pretrained=None,
    )
    write_own_config(folder / "own.py", own)
    path = folder / "tiny.py"
    path.write_text(f'_base_ = "own.py"\n{TINY_MODEL}')
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with data."""
    write_data(tmp_path)
    return tmp_path


@pytest.fixture
def config(data: Path) -> Path:
    """Return a config for the data, a tiny network, 4 steps."""
    return write_tiny_config(data, max_iters=4)
