"""What ``model.json`` must say of a panoptic network beside what it says of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvt_predict.manifest import Rule, is_list, is_number, is_whole, require, require_listed

PARTS = ("trunk", "box_head", "mask_head")

COUNT = Rule(is_whole, "a positive whole number")
FROM_0 = Rule(lambda value: is_whole(value, 0), "a whole number of at least 0")
NUMBER = Rule(is_number, "a number")
POSITIVE = Rule(lambda value: is_number(value) and value > 0, "a positive number")
PART = Rule(lambda value: is_number(value, 0) and value <= 1, "a number in 0..1")
FOUR = Rule(lambda value: is_list(value, is_number, 4), "four numbers")
PAIRS = Rule(
    lambda value: is_list(value, lambda pair: is_list(pair, is_whole, 2)),
    "two positive whole numbers for each level",
)
ANCHORS = Rule(
    lambda value: is_list(value, lambda level: is_list(level, FOUR.holds)), "boxes of four numbers, by level"
)
RULES = {
    "input": Rule(
        lambda value: is_list(value, is_whole, 4) and value[:2] == [1, 3],
        "[1, 3, height, width], whole numbers",
    ),
    "pad_value": NUMBER,
    "num_things": COUNT,
    "num_stuff": FROM_0,
    "proposals.anchors": ANCHORS,
    "proposals.strides": PAIRS,
    "proposals.nms_pre": Rule(lambda value: is_whole(value, -1), "a whole number; all are taken below 1"),
    "proposals.nms": PART,
    "proposals.count": COUNT,
    "proposals.min_size": NUMBER,
    "proposals.means": FOUR,
    "proposals.stds": FOUR,
    "roi.strides": Rule(lambda value: is_list(value, is_whole), "a positive whole number for each map"),
    "roi.finest_scale": POSITIVE,
    "roi.sampling_ratio": FROM_0,
    "roi.channels": COUNT,
    "boxes.batch": COUNT,
    "boxes.roi_size": COUNT,
    "boxes.score": PART,
    "boxes.nms": PART,
    "boxes.class_agnostic": Rule(lambda value: isinstance(value, bool), "true or false"),
    "boxes.count": COUNT,
    "boxes.means": FOUR,
    "boxes.stds": FOUR,
    "masks.batch": COUNT,
    "masks.roi_size": COUNT,
    "masks.threshold": PART,
    "fusion.mask_overlap": PART,
    "fusion.stuff_area_limit": FROM_0,
}


def require_settings(file: Path, manifest: dict[str, Any]) -> None:
    """Refuse a manifest that is of no panoptic network.

    Args:
        file: ``model.json``, for messages.
        manifest: What `read_manifest` gives of it.

    Raises:
        UserError: A field is missing or not what it must be.
    """
    require(file, RULES, manifest)
    levels = len(manifest["proposals"]["strides"])
    of_each = Rule(lambda value: len(value) == levels, f"of {levels} levels, as proposals.strides is")
    require(file, {"proposals.anchors": of_each}, manifest)
    require_listed(file, manifest, PARTS)
