"""Settings of all tests: one thread per process, so that parallel runs do not disturb each other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lvt_predict.runtimes import openvino_core

os.environ.setdefault("OMP_NUM_THREADS", "1")
openvino_core()  # before a test makes another one, which would have telemetry
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def shared_data() -> Path:
    """Return the folder of real images; they may not be redistributed, so tests skip without them."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data is not here: {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Return a JPEG of noise, 50 x 70 pixels."""
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 70, 3)).astype(np.uint8)).save(path)
    return path
