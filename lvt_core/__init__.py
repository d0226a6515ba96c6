"""LVT, the Lite Vision Transformer: one definition of the network for every task.

Importing this package registers ``lvt`` and ``lvt_cls`` with timm. Where there is no PyTorch,
torchvision or timm, `lvt_core.predict` alone can be used.
"""

try:
    import timm as _timm  # noqa: F401
    import torch as _torch  # noqa: F401
    import torchvision as _torchvision  # noqa: F401
except ModuleNotFoundError as _error:
    if _error.name not in ("timm", "torch", "torchvision"):
        raise
else:
    from lvt_core.backbone import LVT
    from lvt_core.checkpoint import LoadReport, load_checkpoint, save_checkpoint
    from lvt_core.checkpoint_files import CheckpointError
    from lvt_core.classifier import LVTClassifier, TokenLogits
    from lvt_core.complexity import Complexity, complexity
    from lvt_core.config import LVTConfig
    from lvt_core.layers import CSA, RASA
    from lvt_core.models import lvt, lvt_cls
    from lvt_core.pooled import LVTPooled
    from lvt_core.segformer import FoldedSegFormerHead, SegFormer, SegFormerHead, SegFormerLabels

__all__ = [
    "CSA",
    "LVT",
    "RASA",
    "CheckpointError",
    "Complexity",
    "FoldedSegFormerHead",
    "LVTClassifier",
    "LVTConfig",
    "LVTPooled",
    "LoadReport",
    "SegFormer",
    "SegFormerHead",
    "SegFormerLabels",
    "TokenLogits",
    "complexity",
    "load_checkpoint",
    "lvt",
    "lvt_cls",
    "save_checkpoint",
]
__version__ = "0.1.0"
