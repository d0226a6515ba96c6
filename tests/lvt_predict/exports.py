"""Descriptions of exports, for tests that break them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from lvt_predict.panoptic.manifest import PARTS

SIZE = (32, 40)  # height and width for the small export
BYTES = np.zeros((1, *SIZE, 3), np.uint8)


def change(folder: Path, **fields: Any) -> None:
    """Change fields of an export's ``model.json``."""
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(manifest | fields))


PANOPTIC_SIZE = (64, 96)
CODER = {"means": [0, 0, 0, 0], "stds": [1, 1, 1, 1]}
PANOPTIC: dict[str, Any] = {
    "task": "panoptic",
    "runtime": "onnx",
    "file": "trunk",
    "sha256": {f"{name}/model.onnx": hashlib.sha256(b"").hexdigest() for name in PARTS},
    "input": [1, 3, *PANOPTIC_SIZE],
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "pad_value": 0,
    "num_things": 2,
    "num_stuff": 1,
    "proposals": {
        "anchors": [[[-8, -8, 8, 8]], [[-16, -16, 16, 16]]],
        "strides": [[4, 4], [8, 8]],
        "nms_pre": -1,
        "nms": 0.7,
        "count": 10,
        "min_size": -1,
        **CODER,
    },
    "roi": {"strides": [4, 8], "finest_scale": 56, "sampling_ratio": 0, "channels": 8},
    "boxes": {
        "batch": 10,
        "roi_size": 7,
        "score": 0.05,
        "nms": 0.5,
        "class_agnostic": False,
        "count": 5,
        **CODER,
    },
    "masks": {"batch": 2, "roi_size": 14, "threshold": 0.5},
    "fusion": {"mask_overlap": 0.5, "stuff_area_limit": 4096},
}
