"""Exported panoptic networks: `PanopticModel`, and the segments that it finds."""

from lvt_predict.panoptic.manifest import PARTS
from lvt_predict.panoptic.model import PanopticModel
from lvt_predict.panoptic.pipeline import PanopticPipeline
from lvt_predict.panoptic.segments import VOID, Instances, PanopticMap, PanopticSegment

__all__ = [
    "PARTS",
    "VOID",
    "Instances",
    "PanopticMap",
    "PanopticModel",
    "PanopticPipeline",
    "PanopticSegment",
]
