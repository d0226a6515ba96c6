"""Steps of a data pipeline that mmsegmentation does not have."""

from __future__ import annotations

from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import Resize
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from lvt_core.errors import UserError

IGNORED = 255
MAX_CLASSES = 254


@TRANSFORMS.register_module()
class AlignedResize(Resize):
    """Resize keeping the aspect ratio, then round both sides up to multiples of `size_divisor`.

    With 32, the network's largest stride, every pixel of every map has a whole window under it: this is how
    the published model was tested.

    Args:
        scale: ``(longest, shortest)`` allowed side, in pixels.
        size_divisor: What the sides are multiples of.
        interpolation: As in mmcv.
    """

    def __init__(
        self, *, scale: tuple[int, int], size_divisor: int = 32, interpolation: str = "bilinear"
    ) -> None:
        super().__init__(scale=tuple(scale), interpolation=interpolation)
        self.size_divisor = size_divisor

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize everything in a sample, with one interpolation."""
        height, width = results["img"].shape[:2]
        sides = mmcv.rescale_size((width, height), self.scale)
        results["scale"] = tuple(-(-side // self.size_divisor) * self.size_divisor for side in sides)
        self._resize_img(results)
        self._resize_seg(results)
        return results


@TRANSFORMS.register_module()
class LoadMask(LoadAnnotations):
    """Read a mask and refuse values that are no class.

    Args:
        num_classes: Classes of the data set. With ``reduce_zero_label`` they are 1 to `num_classes` in the
            file and 0 is ignored, else 0 to `num_classes` - 1; 255 is always ignored.
    """

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        if num_classes > MAX_CLASSES:
            raise UserError(f"num_classes={num_classes}: masks of 8 bits hold at most {MAX_CLASSES} classes")
        self.num_classes = num_classes

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        path = results["seg_map_path"]
        try:
            mask = (
                np.asarray(Image.open(path)) + 0
            )  # a palette picture gives its numbers, one of bits 0 and 1
        except (OSError, SyntaxError) as error:
            raise UserError(f"{path}: cannot be read as a mask ({error})") from error
        if mask.ndim != 2:
            raise UserError(f"{path}: has {mask.shape[-1]} channels; a mask has one, of class numbers")
        image = results.get("ori_shape")
        if image is not None and tuple(image[:2]) != mask.shape:
            raise UserError(
                f"{path}: {mask.shape[1]} x {mask.shape[0]} pixels, but its image has {image[1]} x {image[0]}"
            )
        first = int(results["reduce_zero_label"])
        label_map = results.get("label_map")
        last = first - 1 + (len(label_map) if label_map else self.num_classes)
        # A number outside of the list would be lost in the metric and crash a GPU in the loss.
        wrong = mask[((mask > last) & (mask != IGNORED)) | (mask < 0) | (mask != mask.round())]
        if wrong.size:
            zero = ", 0 and" if first else " and"
            raise UserError(
                f"{path}: has the value {wrong.min()}; allowed are the classes' numbers {first} to {last}"
                f"{zero} {IGNORED} for pixels that do not count"
            )
        table = np.arange(256, dtype=np.uint8)
        table[first : last + 1] = np.arange(last + 1 - first)
        table[:first] = IGNORED
        if label_map:
            table[first : last + 1] = [label_map[i] for i in range(last + 1 - first)]
        results["gt_seg_map"] = table[mask.astype(np.uint8)]
        results["seg_fields"].append("gt_seg_map")
