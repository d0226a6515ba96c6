"""LVT in mmsegmentation; importing this package registers everything that training and testing need."""

import warnings

from lvt_core.openmmlab import OpenMMLabLVT
from lvt_core.openmmlab.commands import import_framework
from lvt_core.openmmlab.transforms import LoadImage

import_framework("mmseg")
# Two things that are meant so: the published loss, and no pictures unless asked for.
warnings.filterwarnings("ignore", message="Default ``avg_non_ignore`` is False")
warnings.filterwarnings("ignore", message="The draw is False")

from lvt_seg.datasets import ImageMaskDataset  # noqa: E402
from lvt_seg.head import LVTSegFormerHead  # noqa: E402
from lvt_seg.metrics import SegmentationMetric  # noqa: E402
from lvt_seg.pictures import PicturesHook  # noqa: E402
from lvt_seg.segmentor import LabelEncoderDecoder  # noqa: E402
from lvt_seg.transforms import AlignedResize, LoadMask  # noqa: E402

__all__ = [
    "AlignedResize",
    "ImageMaskDataset",
    "LVTSegFormerHead",
    "LabelEncoderDecoder",
    "LoadImage",
    "LoadMask",
    "OpenMMLabLVT",
    "PicturesHook",
    "SegmentationMetric",
]
