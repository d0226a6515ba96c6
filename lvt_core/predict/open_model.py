"""Opening a network by its name or from a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm
from torch import nn

from lvt_core.backbone import LVT
from lvt_core.checkpoint import Facts, Weights, facts_of, load_weights, read_checkpoint, weights_of
from lvt_core.checkpoint.architecture import BACKBONE_ONLY, POOLED, SEGFORMER, TOKENS, depths_of, kind_of
from lvt_core.checkpoint.fit import build_to_fit
from lvt_core.checkpoint.read import SUFFIXES
from lvt_core.config import LVTConfig
from lvt_core.errors import UserError
from lvt_core.segformer import SegFormer
from lvt_predict.manifest import is_whole

logger = logging.getLogger(__name__)

DETECTION = ("neck.", "rpn_head.", "roi_head.", "semantic_head.")
FUSE = "decode_head.fuse.weight"
MOST = 1000  # recursions, rates of dilation: more would fill the time or the memory
MODELS = ("lvt_cls", "lvt", "segformer")


class Opened(NamedTuple):
    """A network and the meaning of its outputs.

    Attributes:
        name: Name, out of `MODELS`, or ``lvt_pooled`` for the classifier that timm calls ``lvt``.
        model: Network.
        classes: Names of the classes, if the checkpoint has them.
        palette: Colour of each class, if the checkpoint has them.
        first_class: Value of the first class in label maps: 1, as in ADE20K, unless the checkpoint says 0.
        facts: Facts of the checkpoint's run.
    """

    name: str
    model: nn.Module
    classes: Sequence[str] | None = None
    palette: Sequence[Sequence[int]] | None = None
    first_class: int = 1
    facts: Facts = Facts()


def open_model(
    source: str, *, use_ema: bool | None = None, model_kwargs: Mapping[str, Any] | None = None
) -> Opened:
    """Open a published architecture or a variant of it, untrained or with the weights of a checkpoint.

    Args:
        source: ``lvt_cls``, ``lvt`` (the backbone: four maps), ``segformer``, or a checkpoint of one of
            them, ours or of the original release.
        use_ema: Take the checkpoint's moving average; ``None`` takes it where there is one.
        model_kwargs: Fields of `LVTConfig` that differ from the published ones. A checkpoint's facts have
            them; ``depths``, ``num_classes`` and the head's ``embed_dim`` are read from its weights.

    Raises:
        UserError: The model or file does not exist, or the checkpoint contains another network.
    """
    kwargs = dict(model_kwargs or {})
    if source in MODELS:
        num_classes = 150 if source == SEGFORMER else 1000
        return Opened(source, _build(source, {"num_classes": num_classes, **kwargs}))
    if not source.endswith(SUFFIXES) and not Path(source).exists():
        raise UserError(f"{source}: must be {', '.join(MODELS)}, or a checkpoint")
    content = read_checkpoint(source)
    loaded = weights_of(content, source, use_ema=use_ema)
    if is_panoptic(loaded):
        raise UserError(f"{source}: contains a panoptic network; pass --task panoptic --config FILE")
    return open_weights(loaded, facts_of(content, source), model_kwargs=kwargs)


def is_panoptic(loaded: Weights) -> bool:
    """Whether weights belong to a network that finds instances."""
    return any(key.startswith(DETECTION) for key in loaded.state_dict)


def open_weights(
    loaded: Weights,
    facts: Facts,
    *,
    model_kwargs: Mapping[str, Any] | None = None,
    place: str = "--model-kwargs",
) -> Opened:
    """Build the network of weights that were read from a checkpoint.

    Args:
        loaded: Weights.
        facts: Facts of the checkpoint's run.
        model_kwargs: As in `open_model`.
        place: Where the `model_kwargs` come from, for messages.

    Raises:
        UserError: The weights belong to another network.
    """
    kwargs, source, weights = dict(model_kwargs or {}), loaded.name, loaded.state_dict
    name, num_classes = kind_of(weights)
    stored = {key: value for key, value in facts.model_kwargs.items() if key in _keywords(name)}
    if unknown := sorted(facts.model_kwargs.keys() - stored.keys()):
        logger.warning("note: %s: %s does not support its arguments %s", source, name, ", ".join(unknown))
    stored = {"num_classes": num_classes, "depths": depths_of(weights), **stored}
    if name == SEGFORMER and FUSE in weights:
        stored["embed_dim"] = weights[FUSE].shape[0]
    for key in kwargs.keys() & stored.keys():
        if kwargs[key] != stored[key]:
            logger.warning("note: %s %s=%s overrides %s's %s", place, key, kwargs[key], source, stored[key])
    arguments = {**stored, **kwargs}
    _require_bounded(arguments, loaded)
    model = build_to_fit(lambda: _build(name, dict(arguments), place), loaded)
    load_weights(model, loaded)
    classes = [str(i) if each is None else each for i, each in enumerate(facts.classes or ())]
    return Opened(
        name,
        model,
        classes if classes and len(classes) == num_classes else None,
        facts.palette if facts.palette and len(facts.palette) == num_classes else None,
        1 if facts.first_class is None else facts.first_class,
        facts,
    )


def _require_bounded(kwargs: Mapping[str, Any], loaded: Weights) -> None:
    """Reject architectures with more blocks, recursions or rates than weights can have.

    Raises:
        UserError: There are more.
    """
    for key, most in (("depths", len(loaded.state_dict)), ("num_recursions", MOST), ("atrous_rates", MOST)):
        values = kwargs.get(key) or ()
        values = values if isinstance(values, (list, tuple)) else (values,)
        if len(values) > MOST or any(is_whole(value, most + 1) for value in values):
            raise UserError(f"{loaded.name}: {key} must be at most {most}")


def _keywords(name: str) -> tuple[str, ...]:
    """Return the keywords of a network, beside which its builder supports no others."""
    own = {SEGFORMER: ("embed_dim",), TOKENS: ("global_pool",), POOLED: ("global_pool",)}
    return (*LVTConfig.field_names(), *own.get(name, ()))


def _build(name: str, kwargs: dict[str, Any], place: str = "--model-kwargs") -> nn.Module:
    known = _keywords(name)
    if other := sorted(kwargs.keys() - set(known)):
        raise UserError(f"{place} {other[0]}: {name} supports {', '.join(known)}")
    try:
        if name == SEGFORMER:
            width = {key: kwargs.pop(key) for key in ("embed_dim",) if key in kwargs}
            return SegFormer(LVTConfig(**kwargs), **width)
        if name == BACKBONE_ONLY:
            return LVT(LVTConfig(**kwargs))
        return timm.create_model("lvt" if name == POOLED else name, **kwargs)
    except (TypeError, ValueError) as error:
        raise UserError(f"{place}: {error}") from error
