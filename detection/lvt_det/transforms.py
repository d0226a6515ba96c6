"""Steps of a data pipeline that mmdetection does not have."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks

from lvt_core.errors import UserError
from lvt_core.panoptic.quality import VOID, check_map, read_map

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
        self._load_bboxes(results)
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
        masks = [(ids == segment["id"]).astype(np.uint8) for segment in segments if segment["is_thing"]]
        results["gt_masks"] = BitmapMasks(masks, height, width)
        return results


@TRANSFORMS.register_module()
class PackPanoptic(PackDetInputs):
    """The last step of testing: with the image goes what the metric and the pictures ask for.

    The truth stays on the disk; the metric reads it by itself, in its own size.
    """

    def __init__(self) -> None:
        super().__init__(meta_keys=TEST_KEYS + TRUTH_KEYS)
