"""Entry points of `torch.hub`; for example, from a clone of this repository:

model = torch.hub.load(".", "lvt_cls", source="local", checkpoint_path="checkpoints/lvt_imagenet.pth.tar")
"""

from typing import Any

import timm
from torch import nn

import lvt_core

dependencies = ["torch", "torchvision", "timm", "safetensors", "numpy", "PIL"]


def lvt_cls(**options: Any) -> nn.Module:
    """Make the published classifier; options are those of `timm.create_model`."""
    return timm.create_model("lvt_cls", **options)


def lvt(**options: Any) -> nn.Module:
    """Make LVT with a pooled head; options are those of `timm.create_model`."""
    return timm.create_model("lvt", **options)


def lvt_backbone(checkpoint_path: str = "", **fields: Any) -> nn.Module:
    """Make the backbone with four maps.

    Args:
        checkpoint_path: Checkpoint of the backbone or of a classifier, ours or the original release's.
        fields: Fields of `LVTConfig`.
    """
    return _loaded(lvt_core.LVT(lvt_core.LVTConfig(**fields)), checkpoint_path)


def segformer_lvt(checkpoint_path: str = "", *, num_classes: int = 150, **fields: Any) -> nn.Module:
    """Make the segmentor.

    Args:
        checkpoint_path: Checkpoint of the segmentor, ours or the original release's.
        num_classes: Classes.
        fields: Fields of `LVTConfig`.
    """
    config = lvt_core.LVTConfig(num_classes=num_classes, **fields)
    return _loaded(lvt_core.SegFormer(config), checkpoint_path)


def _loaded(model: nn.Module, checkpoint_path: str) -> nn.Module:
    if checkpoint_path:
        lvt_core.load_checkpoint(model, checkpoint_path)
    return model
