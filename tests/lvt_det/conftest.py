"""A tiny panoptic data set, and a config of a tiny network on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvt_det.own_config import OwnData, Split, write_own_config
from tests.det_commands import TINY_MODEL, write_panoptic_data


def write_tiny_config(folder: Path, splits: tuple[Split, Split], *, epochs: int) -> Path:
    """Write a config for two splits and a tiny network; return its file."""
    own = OwnData(
        things=("square", "box"),
        stuff=("grass", "sky"),
        train=splits[0],
        val=splits[1],
        short_side=64,
        long_side=107,
        stuff_area_limit=80,
        epochs=epochs,
        batch_size=2,
        lr=1e-3,
        workers=0,
        pretrained=None,
    )
    write_own_config(folder / "own.py", own)
    path = folder / "tiny.py"
    path.write_text(f'_base_ = "own.py"\n{TINY_MODEL}')
    return path


def write_splits(folder: Path) -> tuple[Split, Split]:
    """Write 4 images to train on, 3 to validate on."""
    return write_panoptic_data(folder, "train", 4), write_panoptic_data(folder, "val", 3)


@pytest.fixture
def splits(tmp_path: Path) -> tuple[Split, Split]:
    """Return 4 images to train on, 3 to validate on."""
    return write_splits(tmp_path)


@pytest.fixture
def config(tmp_path: Path, splits: tuple[Split, Split]) -> Path:
    """Return a config for the data, a tiny network, two epochs of two steps."""
    return write_tiny_config(tmp_path, splits, epochs=2)
