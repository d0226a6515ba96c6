"""LVT in mmdetection; importing this package registers everything that training and testing need."""

import warnings

from lvt_core.openmmlab import OpenMMLabLVT
from lvt_core.openmmlab.commands import import_framework
from lvt_core.openmmlab.transforms import LoadImage

import_framework("mmdet")
# As the published model was trained: the mean over all pixels, those that do not count included.
warnings.filterwarnings("ignore", message="Default ``avg_non_ignore`` is False")

from lvt_det.datasets import PanopticDataset  # noqa: E402
from lvt_det.metrics import PanopticMetric  # noqa: E402
from lvt_det.models.fusion import PanopticFusionHead  # noqa: E402
from lvt_det.models.precise import PreciseRoIExtractor, PreciseRPNHead  # noqa: E402
from lvt_det.models.semantic_head import DirectPanopticFPNHead  # noqa: E402
from lvt_det.pictures import PanopticPicturesHook  # noqa: E402
from lvt_det.transforms import LoadPanoptic, PackPanoptic  # noqa: E402

__all__ = [
    "DirectPanopticFPNHead",
    "LoadImage",
    "LoadPanoptic",
    "OpenMMLabLVT",
    "PackPanoptic",
    "PanopticDataset",
    "PanopticFusionHead",
    "PanopticMetric",
    "PanopticPicturesHook",
    "PreciseRPNHead",
    "PreciseRoIExtractor",
]
