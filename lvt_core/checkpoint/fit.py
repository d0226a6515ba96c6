"""How a checkpoint's weights fit a model: what is copied, dropped or kept fresh, or why they do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from timm.models._features import FeatureGetterNet
from torch import Tensor, nn

from lvt_core.checkpoint.names import BACKBONE, UNUSED, StateDict, layout_of, to_lvt
from lvt_core.checkpoint.read import CheckpointError, shorten
from lvt_core.checkpoint.weights import Weights, require_lvt


@dataclass(frozen=True)
class Fit:
    """A model's tensors, and what a checkpoint has for them.

    Attributes:
        pairs: Each tensor of the model that is loaded, with its new value.
        dropped: Keys of the checkpoint that the model has no place for.
        reinitialized: Keys of the model that keep their fresh values.
    """

    pairs: tuple[tuple[Tensor, Tensor], ...]
    dropped: tuple[str, ...]
    reinitialized: tuple[str, ...]


def fit(weights: Weights, model: nn.Module, *, reset_head: bool = False) -> Fit:
    """Match a checkpoint's weights with a model, strictly.

    Args:
        weights: Weights in our names.
        model: Model to load into; nothing is changed.
        reset_head: Keep fresh values outside of the backbone where the checkpoint does not fit.

    Raises:
        CheckpointError: Keys are missing or unexpected, or shapes differ.
    """
    wanted, loaded = model_tensors(model), weights.state_dict
    if layout_of(wanted) is not None or wanted.keys().isdisjoint(loaded):
        require_lvt(weights)
    missing = [key for key in wanted if key not in loaded]
    unexpected = [key for key in loaded if key not in wanted]
    mismatched = [key for key in wanted if key in loaded and loaded[key].shape != wanted[key].shape]
    dropped = [key for key in unexpected if _has_no_place(key, wanted, reset_head)]
    fresh = [key for key in missing + mismatched if reset_head and not key.startswith(BACKBONE)]
    missing, unexpected, mismatched = (
        [key for key in keys if key not in dropped and key not in fresh]
        for keys in (missing, unexpected, mismatched)
    )
    if missing or unexpected or mismatched:
        shapes = [
            f"{key}: {tuple(loaded[key].shape)} in the checkpoint, {tuple(wanted[key].shape)} here"
            for key in mismatched
        ]
        raise _misfit(weights.name, model, tuple(missing), tuple(unexpected), tuple(shapes))
    pairs = tuple((tensor, loaded[key]) for key, tensor in wanted.items() if key not in fresh)
    return Fit(pairs, tuple(dropped), tuple(fresh))


def model_tensors(model: nn.Module) -> StateDict:
    """Return a model's tensors by their names in the ``lvt`` layout."""
    if isinstance(model, FeatureGetterNet):
        model = model.model
    return to_lvt(model.state_dict())


def _has_no_place(key: str, wanted: Mapping[str, Tensor], reset_head: bool) -> bool:
    """Whether an unexpected key may be dropped: a head, or a later stage, for a backbone."""
    in_backbone = key.startswith(BACKBONE)
    if key.startswith(UNUSED) or (reset_head and not in_backbone):
        return True
    is_backbone = all(name.startswith((BACKBONE, "norm.")) for name in wanted)
    return is_backbone and (not in_backbone or _stages([key]).isdisjoint(_stages(wanted)))


def _stages(keys: Iterable[str]) -> set[str]:
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
            parts.append(f"{len(keys)} {kind} ({shorten(keys)})")
    hint = ""
    if not any(key.startswith(BACKBONE) for key in missing + unexpected + shapes):
        hint = "; reset_head=True would keep a fresh head instead"
    return CheckpointError(
        f"{name} does not fit {type(model).__name__}: {'; '.join(parts)}{hint}",
        missing=missing,
        unexpected=unexpected,
        mismatched=shapes,
    )
