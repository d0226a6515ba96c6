"""Loading: the whole line from a file to a model, or a part of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lvt_core.checkpoint.fit import fit
from lvt_core.checkpoint.names import StateDict
from lvt_core.checkpoint.read import read_checkpoint, shorten
from lvt_core.checkpoint.weights import Weights, weights_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """The result of a successful load.

    Attributes:
        source: File, or "state dict".
        layout: ``'lvt'``, ``'lvt_backbone'`` or ``'original'``; ``'other'`` for a model with another
            backbone.
        dropped: Keys of the checkpoint that the model has no place for (a head, for a backbone).
        reinitialized: Keys of the model that keep their fresh values (`reset_head`).
        ema: The moving average was taken; ``None`` if the checkpoint has none.
    """

    source: str
    layout: str
    dropped: tuple[str, ...]
    reinitialized: tuple[str, ...]
    ema: bool | None = None

    def __str__(self) -> str:
        text = f"loaded {self.source} ({self.layout} layout){describe_ema(self.ema)}"
        if self.dropped:
            text += f"; dropped {shorten(self.dropped)}"
        if self.reinitialized:
            text += f"; freshly initialised {shorten(self.reinitialized)}"
        return text


def describe_ema(ema: bool | None) -> str:
    """Say which of a checkpoint's two sets of weights was taken, if it has two."""
    if ema is None:
        return ""
    return ": the moving average of its weights" if ema else ": its weights, not their moving average"


def load_checkpoint(
    model: nn.Module,
    source: str | Path | Mapping[str, Any],
    *,
    use_ema: bool | None = None,
    reset_head: bool = False,
) -> LoadReport:
    """Load weights of ours or of the original release into any model of this package.

    A backbone (`LVT()`, or a ``features_only`` model) takes the backbone's part of a classifier's
    checkpoint; the report names the dropped keys. Everything else must fit exactly. An error leaves the
    model unchanged.

    Args:
        model: `LVT`, `lvt`, `lvt_cls`, or a ``features_only`` form of one; `SegFormer`, or mmsegmentation's
            segmentor that is made of the same parts.
        source: File (``.pth``, ``.pth.tar``, ``.pt`` or ``.safetensors``), or a state dict; wrappers
            (``{'state_dict': …}``, ``module.``) are removed.
        use_ema: Take the moving average of the weights; ``None`` takes it where the checkpoint has one,
            because training ranked the checkpoints by it.
        reset_head: Keep fresh values outside of the backbone where the checkpoint does not fit, for example
            with another number of classes or another kind of head. Without it, such a checkpoint is an error.

    Returns:
        Report of what was dropped and what was not loaded; also logged.

    Raises:
        CheckpointError: The file cannot be read safely, or its keys or shapes do not fit.
    """
    if isinstance(source, Mapping):
        return load_content(model, source, name="state dict", use_ema=use_ema, reset_head=reset_head)
    content = read_checkpoint(source)
    return load_content(model, content, name=str(source), use_ema=use_ema, reset_head=reset_head)


def load_content(
    model: nn.Module,
    content: Mapping[str, Any],
    *,
    name: str,
    use_ema: bool | None = None,
    reset_head: bool = False,
) -> LoadReport:
    """Load content that `read_checkpoint` returned; `name` stands for the file in messages."""
    return load_weights(model, weights_of(content, name, use_ema=use_ema), reset_head=reset_head)


def load_weights(model: nn.Module, weights: Weights, *, reset_head: bool = False) -> LoadReport:
    """Fit weights in our names to a model and copy them.

    Raises:
        CheckpointError: Keys or shapes do not fit; the model is unchanged.
    """
    fitted = fit(weights, model, reset_head=reset_head)
    with torch.no_grad():
        for tensor, value in fitted.pairs:
            tensor.copy_(value)
    report = LoadReport(
        weights.name, weights.layout or "other", fitted.dropped, fitted.reinitialized, weights.ema
    )
    logger.info("%s", report)
    return report


def timm_filter(state_dict: Mapping[str, Any], model: nn.Module) -> StateDict:
    """Rename the weights that timm loads (``pretrained_cfg_overlay={'file': …}``) from any known layout."""
    return weights_of(state_dict, "pretrained weights").state_dict
