"""Checkpoints: read safely, loaded strictly, written whole."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.models._features import FeatureGetterNet
from torch import Tensor, nn

from lvt_core.checkpoint.names import (
    BACKBONE,
    UNUSED,
    StateDict,
    layout_of,
    strip_wrappers,
    to_backbone,
    to_lvt,
    to_original,
)
from lvt_core.checkpoint.read import SUFFIXES, CheckpointError, read_checkpoint, select_weights, some
from lvt_core.files import write_whole

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """What a successful load did beyond copying every key.

    Attributes:
        source: The file, or "state dict".
        layout: ``'lvt'``, ``'lvt_backbone'`` or ``'original'``; ``'other'`` for a model with another
            backbone.
        dropped: Keys of the checkpoint that the model has no place for (a head, for a backbone).
        reinitialized: Keys of the model that keep their fresh values (`reset_head`).
    """

    source: str
    layout: str
    dropped: tuple[str, ...]
    reinitialized: tuple[str, ...]

    def __str__(self) -> str:
        text = f"loaded {self.source} ({self.layout} layout)"
        if self.dropped:
            text += f"; dropped {some(self.dropped)}"
        if self.reinitialized:
            text += f"; freshly initialised {some(self.reinitialized)}"
        return text


def load_checkpoint(
    model: nn.Module,
    source: str | Path | Mapping[str, Any],
    *,
    use_ema: bool = False,
    reset_head: bool = False,
) -> LoadReport:
    """Load weights of ours or of the original release into any model of this package.

    A backbone (`LVT()`, or a ``features_only`` model) takes the backbone's part of a classifier's
    checkpoint; what it has no place for is named in the report. Everything else must fit exactly.
    The model is untouched when an error is raised.

    Args:
        model: `LVT`, `lvt`, `lvt_cls`, or a ``features_only`` form of one; `SegFormer`, or the segmentor
            of mmsegmentation that is made of the same parts.
        source: A ``.pth``, ``.pth.tar``, ``.pt`` or ``.safetensors`` file, or a state dict; wrappers
            (``{'state_dict': …}``, ``module.``) are taken off.
        use_ema: Take the moving average of the weights instead of the weights.
        reset_head: What lies outside of the backbone and does not fit (another number of classes,
            another kind of head) keeps its fresh values instead of raising.

    Returns:
        What was dropped and what was not loaded; also logged.

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
    use_ema: bool = False,
    reset_head: bool = False,
) -> LoadReport:
    """`load_checkpoint` of a file that has been read; `name` is what to call it."""
    loaded = strip_wrappers(select_weights(content, name, use_ema=use_ema))
    wanted = _model_keys(model)
    layout = layout_of(loaded)
    loaded = to_lvt(loaded)
    if layout is None and (layout_of(wanted) is not None or wanted.keys().isdisjoint(loaded)):
        raise CheckpointError(f"{name}: holds no LVT; its keys are {some(tuple(loaded))}")

    unexpected = tuple(key for key in loaded if key not in wanted)
    missing = tuple(key for key in wanted if key not in loaded)
    mismatched = tuple(key for key in wanted if key in loaded and loaded[key].shape != wanted[key].shape)
    dropped, reinitialized = [], []
    kept_stages = _stages(wanted)
    for key in unexpected:
        elsewhere = _has_backbone_only(wanted) and (
            not key.startswith(BACKBONE) or _stages([key]).isdisjoint(kept_stages)
        )
        if elsewhere or key.startswith(UNUSED) or (reset_head and not key.startswith(BACKBONE)):
            dropped.append(key)
    if reset_head:
        reinitialized = [key for key in missing + mismatched if not key.startswith(BACKBONE)]
    unexpected, missing, mismatched = (
        tuple(key for key in keys if key not in dropped and key not in reinitialized)
        for keys in (unexpected, missing, mismatched)
    )
    if missing or unexpected or mismatched:
        shapes = tuple(
            f"{key}: {tuple(loaded[key].shape)} in the checkpoint, {tuple(wanted[key].shape)} here"
            for key in mismatched
        )
        raise _misfit(name, model, missing, unexpected, shapes)
    with torch.no_grad():
        for key, tensor in wanted.items():
            if key not in reinitialized:
                tensor.copy_(loaded[key])
    report = LoadReport(name, layout or "other", tuple(dropped), tuple(reinitialized))
    logger.info("%s", report)
    return report


def save_checkpoint(model: nn.Module | Mapping[str, Tensor], path: str | Path, **extra: Any) -> None:
    """Write a model's weights whole or not at all.

    Args:
        model: A model, or a state dict.
        path: Ends in ``.safetensors`` (weights alone), ``.pth``, ``.pt`` or ``.pth.tar``.
        extra: More entries beside ``state_dict``: tensors and plain values. Without any, a ``.pth``
            holds the state dict itself.

    Raises:
        CheckpointError: The file's ending is unknown, or it cannot hold ``extra``.
        UserError: The file cannot be written.
    """
    path = Path(path)
    state_dict = model.state_dict() if isinstance(model, nn.Module) else dict(model)
    state_dict = {key: value.detach() for key, value in strip_wrappers(state_dict).items()}
    if not path.name.endswith(SUFFIXES):
        raise CheckpointError(f"{path}: a checkpoint's name must end in {', '.join(SUFFIXES)}")
    if path.suffix == ".safetensors":
        if extra:
            raise CheckpointError(f"{path}: safetensors hold weights alone, not {some(tuple(extra))}")
        from safetensors.torch import save

        data = save({key: value.contiguous().cpu() for key, value in state_dict.items()})
        write_whole(path, lambda file: file.write(data))
        return
    content = {"state_dict": state_dict, **extra} if extra else state_dict
    write_whole(path, lambda file: torch.save(content, file))


def convert_checkpoint(
    source: str | Path,
    target: str | Path,
    *,
    to: str,
    backbone: bool = False,
    use_ema: bool = False,
) -> StateDict:
    """Rewrite a checkpoint with the names of ours or of the original release.

    Args:
        source: Checkpoint to read.
        target: Checkpoint to write.
        to: ``'lvt'`` or ``'original'``.
        backbone: Keep the backbone alone: the file that dense tasks start from.
        use_ema: Take the moving average.

    Returns:
        What was written.

    Raises:
        CheckpointError: The source cannot be read or is no LVT, or ``to`` is unknown.
    """
    if to not in ("lvt", "original"):
        raise CheckpointError(f"to={to!r}: must be 'lvt' or 'original'")
    weights = strip_wrappers(select_weights(read_checkpoint(source), str(source), use_ema=use_ema))
    if layout_of(weights) is None:
        raise CheckpointError(f"{source}: holds no LVT; its keys are {some(tuple(weights))}")
    if backbone:
        weights = to_backbone(weights)
    if to == "original":
        weights = to_original(weights)
    elif not backbone:
        weights = to_lvt(weights)
    save_checkpoint(weights, target)
    return weights


def timm_filter(state_dict: Mapping[str, Any], model: nn.Module) -> StateDict:
    """Let timm's own loading (``pretrained_cfg_overlay={'file': …}``) read every known layout."""
    return to_lvt(select_weights(state_dict, "pretrained weights"))


def _model_keys(model: nn.Module) -> StateDict:
    """The model's tensors by their names in the ``lvt`` layout."""
    if isinstance(model, FeatureGetterNet):
        model = model.model
    return to_lvt(model.state_dict())


def _has_backbone_only(keys: Mapping[str, Tensor]) -> bool:
    return all(key.startswith((BACKBONE, "norm.")) for key in keys)


def _stages(keys: Any) -> set[str]:
    return {match[0] for key in keys if (match := re.match(r"backbone\.stages\.\d+\.", key))}


def _misfit(
    name: str,
    model: nn.Module,
    missing: tuple[str, ...],
    unexpected: tuple[str, ...],
    shapes: tuple[str, ...],
) -> CheckpointError:
    parts = []
    for kind, keys in (("missing", missing), ("unexpected", unexpected), ("other shape", shapes)):
        if keys:
            parts.append(f"{len(keys)} {kind} ({some(keys)})")
    hint = ""
    if not any(key.startswith(BACKBONE) for key in missing + unexpected + shapes):
        hint = "; reset_head=True would keep a fresh head instead"
    return CheckpointError(
        f"{name} does not fit {type(model).__name__}: {'; '.join(parts)}{hint}",
        missing=missing,
        unexpected=unexpected,
        mismatched=shapes,
    )
