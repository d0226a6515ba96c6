"""What mmsegmentation needs to train and test LVT; importing this registers it there."""

from lvt_core.openmmlab import OpenMMLabLVT
from lvt_core.openmmlab.commands import import_framework

import_framework("mmseg")

from lvt_seg.datasets import ImageMaskDataset  # noqa: E402
from lvt_seg.head import LVTSegFormerHead  # noqa: E402
from lvt_seg.metrics import SegmentationMetric  # noqa: E402
from lvt_seg.pictures import PicturesHook  # noqa: E402
from lvt_seg.transforms import AlignedResize, LoadImage, LoadMask  # noqa: E402

__all__ = [
    "AlignedResize",
    "ImageMaskDataset",
    "LVTSegFormerHead",
    "LoadImage",
    "LoadMask",
    "OpenMMLabLVT",
    "PicturesHook",
    "SegmentationMetric",
]
