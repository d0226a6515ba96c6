"""Shared by all tests: one thread per process, so that runs do not wait for each other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lvt_predict.runtimes import openvino_core

os.environ.setdefault("OMP_NUM_THREADS", "1")
openvino_core()  # before a test makes one, with telemetry, and drops it
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def shared_data() -> Path:
    """Real images that may not be redistributed; tests that need them skip without them."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data is not here: {SHARED_DATA}")
    return SHARED_DATA
