"""Which network a name or a checkpoint is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from torch import nn

from lvt_core.backbone import LVT
from lvt_core.checkpoint import load_content
from lvt_core.checkpoint_files import SUFFIXES, read_checkpoint, select_weights
from lvt_core.checkpoint_keys import strip_wrappers, to_lvt
from lvt_core.config import NUM_STAGES, LVTConfig
from lvt_core.errors import UserError
from lvt_core.segformer import SegFormer

FUSE = "decode_head.fuse.weight"
MODELS = ("lvt_cls", "lvt", "segformer")


def open_model(
    source: str, *, use_ema: bool = False, model_kwargs: Mapping[str, Any] | None = None
) -> tuple[str, nn.Module, Sequence[str] | None]:
    """A published architecture or a variant of it, untrained or with the weights of a checkpoint.

    Args:
        source: ``lvt_cls``, ``lvt`` (the backbone: four maps), ``segformer``, or a checkpoint of one of
            them, ours or of the original release.
        use_ema: Take the checkpoint's moving average.
        model_kwargs: Fields of `LVTConfig` that are not the published ones; ``depths``, ``num_classes``
            and the head's ``embed_dim`` are read from a checkpoint's weights.

    Returns:
        The model's name, the model, and the classes' names if the checkpoint has them.

    Raises:
        UserError: There is no such model or file, or the checkpoint is of another network.
    """
    kwargs = dict(model_kwargs or {})
    if source in MODELS:
        return source, _build(source, {"num_classes": 150 if source == "segformer" else 1000, **kwargs}), None
    if not source.endswith(SUFFIXES) and not Path(source).exists():
        raise UserError(f"{source}: must be {', '.join(MODELS)}, or a checkpoint")
    content = read_checkpoint(source)
    weights = to_lvt(strip_wrappers(select_weights(content, source, use_ema=use_ema)))
    name, num_classes = _recognise(weights)
    width = {"embed_dim": weights[FUSE].shape[0]} if name == "segformer" and FUSE in weights else {}
    model = _build(name, {"num_classes": num_classes, "depths": _depths(weights), **width, **kwargs})
    load_content(model, content, name=source, use_ema=use_ema)
    classes = content.get("classes")
    return name, model, classes if isinstance(classes, list) and len(classes) == num_classes else None


def _recognise(weights: Mapping[str, Any]) -> tuple[str, int]:
    """A network's name and number of classes, by what its weights are called."""
    for name, key in (("segformer", "decode_head.classifier.weight"), ("lvt_cls", "head.weight")):
        if key in weights:
            return name, weights[key].shape[0]
    return "lvt", 0


def _depths(weights: Mapping[str, Any]) -> tuple[int, ...]:
    """Blocks of each stage; the published ones if the weights have no such names: loading tells then."""
    found = {match.groups() for key in weights if (match := re.search(r"stages\.(\d)\.blocks\.(\d+)\.", key))}
    depths = tuple(sum(stage == str(i) for stage, _ in found) for i in range(NUM_STAGES))
    return depths if all(depths) else LVTConfig.depths


def _build(name: str, kwargs: dict[str, Any]) -> nn.Module:
    try:
        if name == "segformer":
            width = {key: kwargs.pop(key) for key in ("embed_dim",) if key in kwargs}
            return SegFormer(LVTConfig(**kwargs), **width)
        if name == "lvt":
            return LVT(LVTConfig(**kwargs))
        return timm.create_model(name, **kwargs)
    except (TypeError, ValueError) as error:
        raise UserError(f"--model-kwargs: {error}") from error
