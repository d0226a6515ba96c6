"""Every field of a panoptic export's ``model.json`` is checked."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from lvt_core.errors import UserError
from lvt_predict.panoptic import PanopticModel
from lvt_predict.panoptic.manifest import PARTS
from tests.lvt_predict.exports import PANOPTIC


def write(folder: Path, name: str, value: Any) -> Path:
    """Make a folder whose ``model.json`` has another value of a field; ``a.b`` is field ``b`` of ``a``."""
    manifest = copy.deepcopy(PANOPTIC)
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
def test_rejects_wrong_fields(tmp_path: Path, name: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PanopticModel(write(tmp_path, name, value))
