"""The fit of a checkpoint to a model: what is copied, dropped or kept fresh, or why it does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from timm.models._features import FeatureGetterNet
from torch import Tensor, nn

from lvt_core.checkpoint.names import BACKBONE, UNUSED, StateDict, layout_of, to_lvt
from lvt_core.checkpoint.read import CheckpointError, shorten
from lvt_core.checkpoint.weights import Weights, require_lvt


@dataclass(frozen=True)
class Fit:
    """A checkpoint's tensors, each matched with a tensor of a model.

    Attributes:
        pairs: Tensors of the model, each with its new value.
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
        model: Model that the weights are for; it is not changed.
        reset_head: Allow misfits outside of the backbone: the model keeps its fresh values there.

    Returns:
        Tensors to copy, and the keys that are not copied.

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


def build_to_fit(make: Callable[[], nn.Module], weights: Weights) -> nn.Module:
    """Build a network that a file describes, if the file's weights fit it; they are not copied.

    A few bytes can describe a network that fills the memory, so it is first built without storage.

    Args:
        make: Function that builds the network.
        weights: Weights of the file, in our names.

    Raises:
        CheckpointError: Keys are missing or unexpected, or shapes differ.
    """
    with torch.device("meta"):
        fit(weights, make())
    return make()


def model_tensors(model: nn.Module) -> StateDict:
    """Return a model's tensors by their names in the ``lvt`` layout."""
    if isinstance(model, FeatureGetterNet):
        model = model.model
    return to_lvt(model.state_dict())


def _has_no_place(key: str, wanted: Mapping[str, Tensor], reset_head: bool) -> bool:
    """Whether an unexpected key may be dropped: for a backbone, a head or a later stage."""
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
        hint = "; main.py --finetune, or reset_head=True in Python, would keep a fresh head instead"
    return CheckpointError(
        f"{name} does not fit {type(model).__name__}: {'; '.join(parts)}{hint}",
        missing=missing,
        unexpected=unexpected,
        mismatched=shapes,
    )
