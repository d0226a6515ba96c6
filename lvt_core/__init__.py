"""LVT, the Lite Vision Transformer: one definition of the network for every task.

Importing this package registers ``lvt`` and ``lvt_cls`` with timm.
"""

from lvt_core.backbone import LVT
from lvt_core.checkpoint import LoadReport, load_checkpoint, save_checkpoint
from lvt_core.checkpoint.read import CheckpointError
from lvt_core.classifiers.pooled_head import LVTPooled
from lvt_core.classifiers.timm_models import lvt, lvt_cls
from lvt_core.classifiers.token_head import LVTClassifier, TokenLogits
from lvt_core.complexity import Complexity, complexity
from lvt_core.config import LVTConfig
from lvt_core.layers import CSA, RASA
from lvt_core.predict.load import load
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
    "load",
    "load_checkpoint",
    "lvt",
    "lvt_cls",
    "save_checkpoint",
]
__version__ = "0.2.0.dev0"
