"""Which network a name or a checkpoint is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from torch import nn

from lvt_core.backbone import LVT
from lvt_core.checkpoint import load_content
from lvt_core.checkpoint_files import SUFFIXES, read_checkpoint, select_weights
from lvt_core.checkpoint_keys import strip_wrappers, to_lvt
from lvt_core.config import LVTConfig
from lvt_core.errors import UserError
from lvt_core.segformer import SegFormer

MODELS = ("lvt_cls", "lvt", "segformer")


def open_model(source: str, *, use_ema: bool = False) -> tuple[str, nn.Module, Sequence[str] | None]:
    """A published architecture, untrained or with the weights of a checkpoint.

    Args:
        source: ``lvt_cls``, ``lvt`` (the backbone: four maps), ``segformer``, or a checkpoint of one of
            them, ours or of the original release.
        use_ema: Take the checkpoint's moving average.

    Returns:
        The model's name, the model, and the classes' names if the checkpoint has them.

    Raises:
        UserError: There is no such model or file, or the checkpoint is of another network.
    """
    if source in MODELS:
        return source, _build(source, 150 if source == "segformer" else 1000), None
    if not source.endswith(SUFFIXES) and not Path(source).exists():
        raise UserError(f"{source}: must be {', '.join(MODELS)}, or a checkpoint")
    content = read_checkpoint(source)
    name, num_classes = _recognise(to_lvt(strip_wrappers(select_weights(content, source, use_ema=use_ema))))
    model = _build(name, num_classes)
    load_content(model, content, name=source, use_ema=use_ema)
    classes = content.get("classes")
    return name, model, classes if isinstance(classes, list) and len(classes) == num_classes else None


def _recognise(weights: Mapping[str, Any]) -> tuple[str, int]:
    """A network's name and number of classes, by what its weights are called."""
    for name, key in (("segformer", "decode_head.classifier.weight"), ("lvt_cls", "head.weight")):
        if key in weights:
            return name, weights[key].shape[0]
    return "lvt", 0


def _build(name: str, num_classes: int) -> nn.Module:
    if name == "segformer":
        return SegFormer(LVTConfig(num_classes=num_classes))
    return LVT() if name == "lvt" else timm.create_model(name, num_classes=num_classes)
