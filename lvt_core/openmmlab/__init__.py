"""The glue to OpenMMLab: the backbone on its root registry, safe checkpoints, and the commands' common part.

Nothing else in `lvt_core` imports it, and it is imported only by those who run mmsegmentation or
mmdetection. Importing it registers the backbone ``LVT`` with mmengine, where both find it, makes mmengine
read weights safely, and provides the operators that mmdetection cannot be imported without.
"""

from mmengine.config.utils import MODULE2PACKAGE

from lvt_core.openmmlab.backbone import OpenMMLabLVT
from lvt_core.openmmlab.ops import provide_compiled_operators
from lvt_core.openmmlab.weights import read_weights_safely

# mmengine looks for these packages under the names of unmaintained distributions.
MODULE2PACKAGE.update(mmseg="mmseg", mmdet="mmdet")
# Before either framework is imported: mmseg imports mmdet, which keeps the operators that it meets.
provide_compiled_operators()
read_weights_safely()

__all__ = ["OpenMMLabLVT"]
