"""The glue to OpenMMLab: the backbone on its root registry, safe checkpoints, and the commands' common part.

Nothing else in `lvt_core` imports it, and it is imported only by those who run mmsegmentation or
mmdetection. Importing it registers the backbone ``LVT`` with mmengine, where both find it.
"""

from lvt_core.openmmlab.backbone import OpenMMLabLVT

__all__ = ["OpenMMLabLVT"]
