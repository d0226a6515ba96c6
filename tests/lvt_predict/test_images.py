"""Inputs are checked: only bytes are normalised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lvt_core.errors import UserError
from lvt_predict.model import load
from tests.lvt_predict.exports import BYTES, SIZE


@pytest.mark.parametrize(
    ("images", "described"),
    [
        (BYTES.astype(np.float32), r"float32 \(1, 32, 40, 3\)"),
        (BYTES.astype(np.uint16), "uint16"),
        (BYTES.astype(bool), "bool"),
        (BYTES[0], r"uint8 \(32, 40, 3\)"),
        (np.zeros((1, *SIZE, 4), np.uint8), r"uint8 \(1, 32, 40, 4\)"),
        (BYTES.transpose(0, 3, 1, 2), r"uint8 \(1, 3, 32, 40\)"),
        (BYTES.tolist(), "a list"),
        (torch.from_numpy(BYTES), "a Tensor"),
        (None, "a NoneType"),
    ],
)
def test_normalises_only_bytes(exported: Path, images: Any, described: str) -> None:
    model = load(exported)
    with pytest.raises(
        UserError, match=rf"images are {described}.*: they must be uint8 \(batch, height, width, 3"
    ):
        model.normalize(images)
    with pytest.raises(UserError, match=r"must not be empty"):
        model.normalize(BYTES[:0])
    model.manifest["input"][1] = 256
    with pytest.raises(UserError, match="takes maps of 256 channels, not images"):
        model.normalize(BYTES)
