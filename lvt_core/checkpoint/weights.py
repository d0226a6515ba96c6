"""A checkpoint's weights: found in its content, unwrapped, and renamed to our names, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lvt_core.checkpoint.finite import not_finite
from lvt_core.checkpoint.names import StateDict, layout_of, rename_to_lvt, strip_wrappers
from lvt_core.checkpoint.read import CheckpointError, select_weights, shorten, takes_ema


@dataclass(frozen=True)
class Weights:
    """Weights in the ``lvt`` layout.

    Attributes:
        name: File, or another name for messages.
        state_dict: Tensors by our names.
        layout: Layout that the checkpoint had: ``'lvt'``, ``'lvt_backbone'`` or ``'original'``; ``None`` for
            a model with another backbone.
        ema: The moving average was taken; ``None`` if the checkpoint has none.
    """

    name: str
    state_dict: StateDict
    layout: str | None
    ema: bool | None = None


def weights_of(content: Mapping[str, Any], name: str, *, use_ema: bool | None = None) -> Weights:
    """Take the weights from a checkpoint's content.

    Args:
        content: Content, as `read_checkpoint` returns it, or a state dict.
        name: Name of the file, for messages.
        use_ema: Take the moving average of the weights; ``None`` takes it where there is one.

    Raises:
        CheckpointError: The content has no weights, or no moving average of them, or an LVT's are not finite.
    """
    unwrapped = strip_wrappers(select_weights(content, name, use_ema=use_ema))
    layout = layout_of(unwrapped)
    if layout is not None and (key := not_finite(unwrapped)):
        raise CheckpointError(
            f"{name}: {key} has values that are NaN or infinite, because training diverged; take another"
        )
    ema = takes_ema(content, use_ema) if "state_dict_ema" in content else None
    return Weights(name, rename_to_lvt(unwrapped, layout), layout, ema)


def require_lvt(weights: Weights) -> None:
    """Reject the weights of a model that is not an LVT.

    Raises:
        CheckpointError: The keys follow none of the known layouts.
    """
    if weights.layout is None:
        keys = shorten(weights.state_dict)
        raise CheckpointError(f"{weights.name}: does not contain an LVT; its keys are {keys}")
