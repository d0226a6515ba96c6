"""Steps of a data pipeline that mmsegmentation does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import Resize
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from lvt_core.errors import UserError
from lvt_core.openmmlab.transforms import LoadImage
from lvt_core.semantic.label_map import IGNORED, MAX_CLASSES, MaskValues, read_values, to_classes


@TRANSFORMS.register_module()
class AlignedResize(Resize):
    """Resize keeping the aspect ratio, then round both sides up to multiples of `size_divisor`.

    With 32, the network's largest stride, every pixel of every map has a whole window under it: this is how
    the published model was tested.

    Args:
        scale: ``(longest, shortest)`` allowed side, in pixels.
        size_divisor: Number that divides the resized sides.
        interpolation: As in mmcv.
    """

    def __init__(
        self, *, scale: tuple[int, int], size_divisor: int = 32, interpolation: str = "bilinear"
    ) -> None:
        super().__init__(scale=tuple(scale), interpolation=interpolation)
        self.size_divisor = size_divisor

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize everything in a sample.

        The image is interpolated twice, as in the published evaluation: to the allowed sides, rounded to
        bytes, and to the multiples.
        """
        height, width = results["img"].shape[:2]
        sides = tuple(max(1, side) for side in mmcv.rescale_size((width, height), self.scale))
        for scale in (sides, tuple(-(-side // self.size_divisor) * self.size_divisor for side in sides)):
            results["scale"] = scale
            self._resize_img(results)
        results["scale_factor"] = (scale[0] / width, scale[1] / height)
        self._resize_seg(results)
        return results


# The first name is what mmsegmentation's inferencers look for, to leave the step out.
@TRANSFORMS.register_module(name=["LoadAnnotations", "LoadMask"], force=True)
class LoadMask(LoadAnnotations):
    """Read a mask, and reject values that are not a class.

    Args:
        num_classes: Number of classes. With ``reduce_zero_label`` they are 1 to `num_classes` in the file,
            and 0 does not count; else they are 0 to `num_classes` - 1. 255 never counts. A sample's
            ``mask_values`` are other values of the classes. ``None`` checks nothing, like the base class.
        options: Options of mmsegmentation's ``LoadAnnotations``.
    """

    def __init__(self, *, num_classes: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        if num_classes is not None and num_classes > MAX_CLASSES:
            raise UserError(
                f"num_classes={num_classes}: masks of 8 bits support at most {MAX_CLASSES} classes"
            )
        self.num_classes = num_classes

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        if self.num_classes is None:
            super()._load_seg_map(results)
            return
        path = Path(results["seg_map_path"])
        values = read_values(path)
        image = results.get("ori_shape")
        if image is not None and tuple(image[:2]) != values.shape:
            raise UserError(
                f"{path}: {values.shape[1]} x {values.shape[0]} pixels, but its image has "
                f"{image[1]} x {image[0]}"
            )
        label_map = results.get("label_map")  # mmsegmentation's choice among the classes in the file
        if listed := results.get("mask_values"):
            meaning = MaskValues.listed(listed)
        else:
            num_classes = len(label_map) if label_map else self.num_classes
            meaning = MaskValues.counted(num_classes, int(results["reduce_zero_label"]))
        classes = to_classes(values, path=path, meaning=meaning)
        if label_map:
            table = np.arange(IGNORED + 1, dtype=np.uint8)
            table[: len(label_map)] = [label_map[i] for i in range(len(label_map))]
            classes = table[classes]
        results["gt_seg_map"] = classes
        results["seg_fields"].append("gt_seg_map")


# mmsegmentation's own name, which its inferencers look for.
TRANSFORMS.register_module(name="LoadImageFromFile", module=LoadImage, force=True)
