"""Steps of a data pipeline that mmdetection does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from lvt_core.errors import UserError
from lvt_core.openmmlab.transforms import LoadImage
from lvt_core.panoptic.quality import VOID, check_map, read_map, segment_boxes

IGNORED = 255
TEST_KEYS = ("img_id", "img_path", "file_name", "ori_shape", "img_shape", "scale_factor")
TRUTH_KEYS = ("seg_map_path", "segments_info")


@TRANSFORMS.register_module()
class LoadPanoptic(LoadAnnotations):
    """Read a panoptic map into boxes, labels and masks of the instances and the semantic map.

    The semantic map has the labels of all classes, and 255 where no class is known.
    """

    def __init__(self) -> None:
        super().__init__(with_bbox=True, with_label=True, with_mask=True, with_seg=True)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read ``results["seg_map_path"]``.

        Raises:
            UserError: The map cannot be read, or is not what its JSON entry says.
        """
        self._load_bboxes(results)  # fills what later steps look for; the boxes follow from the map
        self._load_labels(results)
        path, segments = results["seg_map_path"], results["segments_info"]
        ids = read_map(path)
        height, width = results["ori_shape"]
        if ids.shape != (height, width):
            raise UserError(
                f"{path}: {ids.shape[1]} x {ids.shape[0]} pixels, but its image has {width} x {height}"
            )
        check_map(ids, [segment["id"] for segment in segments], path)
        known = np.array([VOID, *(segment["id"] for segment in segments)])
        labels = np.array([IGNORED, *(segment["category"] for segment in segments)], np.uint8)
        order = np.argsort(known)
        results["gt_seg_map"] = labels[order][np.searchsorted(known[order], ids)]
        things = [segment["id"] for segment in segments if segment["is_thing"]]
        masks = [(ids == thing).astype(np.uint8) for thing in things]
        results["gt_masks"] = BitmapMasks(masks, height, width)
        results["gt_bboxes"] = _boxes(ids, things)
        return results


def _boxes(ids: np.ndarray, things: Sequence[int]) -> HorizontalBoxes:
    """Return the boxes of segments of a map, as corners: those of the JSON file may be wrong."""
    sizes = segment_boxes(ids, things)
    corners = [(left, top, left + width, top + height) for left, top, width, height in
               (sizes[thing] for thing in things)]  # fmt: skip
    return HorizontalBoxes(np.array(corners, np.float32).reshape(-1, 4))


@TRANSFORMS.register_module()
class PackPanoptic(PackDetInputs):
    """The last step of testing: with the image goes what the metric and the pictures ask for.

    The truth stays on the disk; the metric reads it by itself, in its own size.
    """

    def __init__(self) -> None:
        super().__init__(meta_keys=TEST_KEYS + TRUTH_KEYS)


# mmdetection's own name, which its inferencer looks for.
TRANSFORMS.register_module(name="LoadImageFromFile", module=LoadImage, force=True)
