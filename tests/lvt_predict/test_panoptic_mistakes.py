"""Mistakes with panoptic exports end in one sentence: ``model.json``, images and sizes."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lvt_core.errors import UserError
from lvt_predict.panoptic import PARTS, PanopticModel, PanopticPipeline

SIZE = (64, 96)
CODER = {"means": [0, 0, 0, 0], "stds": [1, 1, 1, 1]}
MANIFEST: dict[str, Any] = {
    "task": "panoptic",
    "runtime": "onnx",
    "file": "trunk",
    "sha256": {f"{name}/model.onnx": hashlib.sha256(b"").hexdigest() for name in PARTS},
    "input": [1, 3, *SIZE],
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


def _write(folder: Path, name: str, value: Any) -> Path:
    """Make a folder whose ``model.json`` has another value of a field; ``a.b`` is field ``b`` of ``a``."""
    manifest = copy.deepcopy(MANIFEST)
    *outer, key = name.split(".")
    holder = manifest
    for each in outer:
        holder = holder[each]
    holder[key] = value
    (folder / "model.json").write_text(json.dumps(manifest))
    for part in PARTS:
        (folder / part).mkdir()
        (folder / part / "model.onnx").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("task", None, "is not a panoptic export; open it with lvt_predict.model"),
        ("proposals", None, "proposals is null: must be an object"),
        ("roi", [], r"roi is \[\]: must be an object"),
        ("fusion", {}, "has no fusion.mask_overlap; `lvt export` writes it"),
        ("boxes.batch", 0, "boxes.batch is 0: must be a positive whole number"),
        ("boxes.batch", 2.0, "boxes.batch is 2.0: must be a positive whole number"),
        ("boxes.class_agnostic", 0, "boxes.class_agnostic is 0: must be true or false"),
        ("boxes.nms", "0.5", 'boxes.nms is "0.5": must be a number in 0..1'),
        ("boxes.means", [0, 0, 0], r"boxes.means is \[0, 0, 0\]: must be four numbers"),
        ("masks.threshold", None, "masks.threshold is null: must be a number in 0..1"),
        ("masks.roi_size", True, "masks.roi_size is true: must be a positive whole number"),
        ("num_things", 0, "num_things is 0: must be a positive whole number"),
        ("num_stuff", -1, "num_stuff is -1: must be a whole number of at least 0"),
        ("pad_value", float("nan"), "pad_value is NaN: must be a number"),
        ("input", [1, 3, 64], "input is .*: must be batch, channels, height and width"),
        ("input", [1, 3, [64, 96], 96], r"input is .*: must be \[1, 3, height, width\]"),
        ("input", [2, 3, 64, 96], r"input is .*: must be \[1, 3, height, width\]"),
        ("proposals.strides", [4, 8], "proposals.strides is .*: must be two positive whole numbers"),
        ("proposals.anchors", [[[-8, -8, 8, 8]]], "proposals.anchors is .*: must be a list of 2 levels"),
        ("proposals.anchors", [[[1, 2, 3]], []], "proposals.anchors is .*: must be boxes of four"),
        ("roi.finest_scale", 0, "roi.finest_scale is 0: must be a positive number"),
        ("roi.strides", [], r"roi.strides is \[\]: must be a positive whole number for each map"),
        ("fusion.stuff_area_limit", -5, "fusion.stuff_area_limit is -5: must be a whole number of at least"),
        ("sha256", {"trunk/model.onnx": "0", "box_head/model.onnx": "0"}, "has no entry for mask_head"),
        ("sha256", None, "sha256 is null: must be the SHA-256 of each file"),
        ("versions", {}, "cannot read .*trunk/model.json"),  # all is well up to here
    ],
)
def test_manifests_are_checked(tmp_path: Path, name: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PanopticModel(_write(tmp_path, name, value))


def _fail(images: np.ndarray) -> list[np.ndarray]:
    raise AssertionError("was called")


IMAGES = np.zeros((1, 3, *SIZE), np.float32)


@pytest.mark.parametrize(
    ("images", "sizes", "message"),
    [
        (None, {}, "images are a NoneType: they must be float32"),
        ([[1.0]], {}, "images are a list: they must be float32"),
        (IMAGES[0], {}, r"images are float32 \(3, 64, 96\): they must be float32"),
        (np.concatenate((IMAGES, IMAGES)), {}, r"images \(2, 3, 64, 96\): pass one image at a time"),
        (IMAGES, {"extent": (65, 96)}, r"extent \(65, 96\): must not exceed the images' \(64, 96\)"),
        (IMAGES, {"extent": ()}, r"extent \(\): must be a height and a width, positive whole numbers"),
        (IMAGES, {"extent": 64}, "extent 64: must be a height and a width"),
        (IMAGES, {"extent": (64.0, 96)}, r"extent \(64.0, 96\): must be a height and a width"),
        (IMAGES, {"extent": (True, 96)}, r"extent \(True, 96\): must be a height and a width"),
        (IMAGES, {"size": (0, 5)}, r"size \(0, 5\): must be a height and a width"),
        (IMAGES, {"size": (-3, 5)}, r"size \(-3, 5\): must be a height and a width"),
        (IMAGES, {"size": (1, 2, 3)}, r"size \(1, 2, 3\): must be a height and a width"),
        (IMAGES, {"size": "64"}, "size '64': must be a height and a width"),
    ],
)
def test_images_and_sizes_are_checked(images: Any, sizes: dict[str, Any], message: str) -> None:
    pipeline = PanopticPipeline(MANIFEST, dict.fromkeys(PARTS, _fail))
    with pytest.raises(UserError, match=message):
        pipeline(images, **sizes)
    with pytest.raises(AssertionError, match="was called"):
        pipeline(IMAGES, extent=[np.int64(60), np.int32(90)], size=(120, 180))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 60, 90, 3), np.float32), r"images are float32 \(1, 60, 90, 3\): they must be uint8"),
        (np.zeros((60, 90, 3), np.uint8), r"images are uint8 \(60, 90, 3\): they must be uint8"),
        (np.zeros((2, 60, 90, 3), np.uint8), r"images \(2, 60, 90, 3\): pass one image at a time"),
        (np.zeros((1, 65, 90, 3), np.uint8), "images are 65 x 90: this network supports up to 64 x 96"),
        (np.zeros((1, 0, 90, 3), np.uint8), r"images are uint8 \(1, 0, 90, 3\): they must not be empty"),
    ],
)
def test_normalises_only_bytes(images: np.ndarray, message: str) -> None:
    model = PanopticModel.__new__(PanopticModel)  # without files
    model.manifest = MANIFEST
    with pytest.raises(UserError, match=message):
        model.normalize(images)
    assert model.normalize(np.zeros((1, 60, 90, 3), np.uint8)).shape == IMAGES.shape
