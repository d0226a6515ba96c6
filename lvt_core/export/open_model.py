"""Opening a network by its name or from a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm
from torch import nn

from lvt_core.backbone import LVT
from lvt_core.checkpoint import load_weights, read_checkpoint, weights_of
from lvt_core.checkpoint.read import SUFFIXES
from lvt_core.config import NUM_STAGES, LVTConfig
from lvt_core.errors import UserError
from lvt_core.segformer import SegFormer

DETECTION = ("neck.", "rpn_head.", "roi_head.", "semantic_head.")
FUSE = "decode_head.fuse.weight"
MODELS = ("lvt_cls", "lvt", "segformer")


class Opened(NamedTuple):
    """A network and the meaning of its outputs.

    Attributes:
        name: Name, out of `MODELS`.
        model: Network.
        classes: Names of the classes, if the checkpoint has them.
        palette: Colour of each class, if the checkpoint has them.
        first_class: Value of the first class in label maps: 1, as in ADE20K, unless the checkpoint says 0.
    """

    name: str
    model: nn.Module
    classes: Sequence[str] | None = None
    palette: Sequence[Sequence[int]] | None = None
    first_class: int = 1


def open_model(
    source: str, *, use_ema: bool = False, model_kwargs: Mapping[str, Any] | None = None
) -> Opened:
    """Open a published architecture or a variant of it, untrained or with the weights of a checkpoint.

    Args:
        source: ``lvt_cls``, ``lvt`` (the backbone: four maps), ``segformer``, or a checkpoint of one of
            them, ours or of the original release.
        use_ema: Take the checkpoint's moving average.
        model_kwargs: Fields of `LVTConfig` that differ from the published ones; ``depths``, ``num_classes``
            and the head's ``embed_dim`` are read from a checkpoint's weights.

    Raises:
        UserError: The model or file does not exist, or the checkpoint contains another network.
    """
    kwargs = dict(model_kwargs or {})
    if source in MODELS:
        num_classes = 150 if source == "segformer" else 1000
        return Opened(source, _build(source, {"num_classes": num_classes, **kwargs}))
    if not source.endswith(SUFFIXES) and not Path(source).exists():
        raise UserError(f"{source}: must be {', '.join(MODELS)}, or a checkpoint")
    content = read_checkpoint(source)
    loaded = weights_of(content, source, use_ema=use_ema)
    weights = loaded.state_dict
    name, num_classes = _recognise(weights, source)
    width = {"embed_dim": weights[FUSE].shape[0]} if name == "segformer" and FUSE in weights else {}
    model = _build(name, {"num_classes": num_classes, "depths": _depths(weights), **width, **kwargs})
    load_weights(model, loaded)
    meta = content.get("meta")  # mmengine stores classes in it
    meaning = meta.get("dataset_meta", content) if isinstance(meta, Mapping) else content
    meaning = meaning if isinstance(meaning, Mapping) else {}
    classes, palette = (
        values if _is_for(values := meaning.get(key), num_classes) else None for key in ("classes", "palette")
    )
    first_class = 0 if meaning.get("reduce_zero_label") is False else 1  # mmsegmentation's name for it
    return Opened(name, model, classes, palette, first_class)


def _is_for(values: object, num_classes: int) -> bool:
    return isinstance(values, (list, tuple)) and len(values) == num_classes


def _recognise(weights: Mapping[str, Any], source: str) -> tuple[str, int]:
    """Find a network's name and number of classes from the names of its weights.

    Raises:
        UserError: The network is a panoptic one.
    """
    if any(key.startswith(DETECTION) for key in weights):
        raise UserError(f"{source}: contains a panoptic network; pass --task panoptic --config FILE")
    for name, key in (("segformer", "decode_head.classifier.weight"), ("lvt_cls", "head.weight")):
        if key in weights:
            return name, weights[key].shape[0]
    return "lvt", 0


def _depths(weights: Mapping[str, Any]) -> tuple[int, ...]:
    """Count the blocks of each stage; the published depths if the weights have other names."""
    blocks = {
        match.groups() for key in weights if (match := re.search(r"stages\.(\d)\.blocks\.(\d+)\.", key))
    }
    depths = tuple(sum(stage == str(i) for stage, _ in blocks) for i in range(NUM_STAGES))
    return depths if all(depths) else LVTConfig.depths


def _build(name: str, kwargs: dict[str, Any]) -> nn.Module:
    known = (*LVTConfig.field_names(), *(("embed_dim",) if name == "segformer" else ()))
    if other := sorted(kwargs.keys() - set(known)):
        raise UserError(f"--model-kwargs {other[0]}: {name} supports {', '.join(known)}")
    try:
        if name == "segformer":
            width = {key: kwargs.pop(key) for key in ("embed_dim",) if key in kwargs}
            return SegFormer(LVTConfig(**kwargs), **width)
        if name == "lvt":
            return LVT(LVTConfig(**kwargs))
        return timm.create_model(name, **kwargs)
    except (TypeError, ValueError) as error:
        raise UserError(f"--model-kwargs: {error}") from error
