"""The additional fields of a panoptic network's ``model.json``, and their rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvt_predict.manifest import Rule, is_list, is_number, is_whole, require_listed, require_rules

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
    "proposals.nms_pre": Rule(
        lambda value: is_whole(value, -1), "a whole number; below 1, all boxes are taken"
    ),
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
    """Reject a manifest that does not describe a panoptic network.

    Args:
        file: ``model.json``, for messages.
        manifest: Content, as `read_manifest` returns it.

    Raises:
        UserError: A field is missing or breaks its rule.
    """
    require_rules(file, RULES, manifest)
    levels = len(manifest["proposals"]["strides"])
    of_each = Rule(lambda value: len(value) == levels, f"a list of {levels} levels, as proposals.strides has")
    require_rules(file, {"proposals.anchors": of_each}, manifest)
    require_listed(file, manifest, PARTS)
