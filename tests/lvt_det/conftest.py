"""A tiny panoptic data set, and a config of a tiny network on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvt_det.own_config import OwnData, Split, write_own_config
from tests.det_commands import TINY_MODEL, write_panoptic_data


@pytest.fixture
def splits(tmp_path: Path) -> tuple[Split, Split]:
    """4 images to train on, 3 to validate on."""
    return write_panoptic_data(tmp_path, "train", 4), write_panoptic_data(tmp_path, "val", 3)


@pytest.fixture
def config(tmp_path: Path, splits: tuple[Split, Split]) -> Path:
    """Return a config for the data, a tiny network, two epochs of two steps."""
    own = OwnData(
        things=("square", "box"),
        stuff=("grass", "sky"),
        train=splits[0],
        val=splits[1],
        short_side=64,
        long_side=107,
        stuff_area_limit=80,
        epochs=2,
        batch_size=2,
        lr=1e-3,
        workers=0,
        pretrained=None,
    )
    write_own_config(tmp_path / "own.py", own)
    path = tmp_path / "tiny.py"
    path.write_text(f'_base_ = "own.py"\n{TINY_MODEL}')
    return path
