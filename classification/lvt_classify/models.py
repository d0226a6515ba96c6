"""Models and their weights: ours through `lvt_core`, any other through timm."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import timm

from lvt_core import LVT, load_checkpoint
from lvt_core.checkpoint.names import strip_wrappers
from lvt_core.checkpoint.read import CheckpointError, read_checkpoint, select_weights
from lvt_core.errors import UserError

logger = logging.getLogger(__name__)


def new_model(
    name: str,
    extra: dict[str, Any] | None = None,
    *,
    pretrained: bool = False,
    **keywords: Any,
) -> Any:
    """`timm.create_model` whose errors are sentences.

    Args:
        name: timm model name.
        extra: Keywords from ``--model-kwargs``; they may not repeat what has an option of its own.
        pretrained: Load timm's weights.
        keywords: More of the model's keywords.

    Raises:
        UserError: There is no such model, it has no pretrained weights, or it refuses a keyword.
    """
    extra = extra or {}
    taken = sorted(set(extra) & {*keywords, "pretrained", "name", "model_name"})
    if taken:
        raise UserError(f"--model-kwargs {', '.join(taken)}: has an option of its own")
    try:
        return timm.create_model(name, pretrained=pretrained, **keywords, **extra)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"--model {name}: {reason}") from error


def load_weights(
    model: Any, checkpoint: str | Path, *, use_ema: bool = False, reset_head: bool = False
) -> None:
    """Load a checkpoint strictly: an LVT of ours or of the original release, or timm's.

    Args:
        model: To load into.
        checkpoint: The file.
        use_ema: Take the moving average.
        reset_head: A classifier of another shape keeps its fresh weights.

    Raises:
        CheckpointError: It cannot be read, or does not fit.
    """
    if isinstance(getattr(model, "backbone", None), LVT):
        load_checkpoint(model, checkpoint, use_ema=use_ema, reset_head=reset_head)
        return
    content = read_checkpoint(checkpoint)
    weights = strip_wrappers(select_weights(content, str(checkpoint), use_ema=use_ema))
    own = model.state_dict()
    fresh = []
    if reset_head:
        names = model.default_cfg.get("classifier") or ()
        heads = tuple(f"{n}." for n in ((names,) if isinstance(names, str) else names))
        fresh = [k for k in own if k.startswith(heads) and own[k].shape != weights[k].shape]
        weights |= {key: own[key] for key in fresh}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:400]
        raise CheckpointError(f"{checkpoint} does not fit the model: {reason}") from error
    if fresh:
        logger.info("loaded %s; freshly initialised %s", checkpoint, ", ".join(fresh))
