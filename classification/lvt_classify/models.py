"""Models and their weights: LVT through `lvt_core`, all others through timm."""

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
    """Create a timm model; errors are one sentence.

    Args:
        name: timm model name.
        extra: Keywords from ``--model-kwargs``.
        pretrained: Load timm's weights.
        keywords: Keywords that have an option.

    Raises:
        UserError: The model is unknown, has no pretrained weights, or rejects a keyword.
    """
    extra = extra or {}
    taken = sorted(set(extra) & {*keywords, "pretrained", "name", "model_name"})
    if taken:
        raise UserError(f"--model-kwargs {', '.join(taken)}: has its own option; use that one")
    try:
        return timm.create_model(name, pretrained=pretrained, **keywords, **extra)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"--model {name}: {reason}") from error


def load_weights(
    model: Any, checkpoint: str | Path, *, use_ema: bool = False, reset_head: bool = False
) -> None:
    """Load a checkpoint strictly: ours, the original release's, or timm's.

    Args:
        model: Model that receives the weights.
        checkpoint: Path of the file.
        use_ema: Take the moving average of the weights.
        reset_head: Keep the model's initial classifier where the checkpoint's has another shape.

    Raises:
        CheckpointError: The file cannot be read, or does not fit the model.
    """
    if isinstance(getattr(model, "backbone", None), LVT):
        load_checkpoint(model, checkpoint, use_ema=use_ema, reset_head=reset_head)
        return
    content = read_checkpoint(checkpoint)
    weights = strip_wrappers(select_weights(content, str(checkpoint), use_ema=use_ema))
    initial = model.state_dict()
    fresh = []
    if reset_head:
        names = model.default_cfg.get("classifier") or ()
        heads = tuple(f"{n}." for n in ((names,) if isinstance(names, str) else names))
        fresh = [k for k in initial if k.startswith(heads) and initial[k].shape != weights[k].shape]
        weights |= {key: initial[key] for key in fresh}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:400]
        raise CheckpointError(f"{checkpoint}: does not fit the model: {reason}") from error
    if fresh:
        logger.info("loaded %s; freshly initialised %s", checkpoint, ", ".join(fresh))
