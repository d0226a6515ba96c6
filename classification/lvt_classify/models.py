"""Models and their weights: LVT through `lvt_core`, all others through timm."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from lvt_core import LVT
from lvt_core.checkpoint import load_content
from lvt_core.checkpoint.load import describe_ema
from lvt_core.checkpoint.names import common_prefix, remove_prefix, strip_wrappers
from lvt_core.checkpoint.read import CheckpointError, read_checkpoint, select_weights, takes_ema
from lvt_core.errors import UserError

logger = logging.getLogger(__name__)

RGB = 3


def new_model(
    name: str,
    extra: Mapping[str, Any] | None = None,
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
    extra = dict(extra or {})
    taken = sorted(set(extra) & {*keywords, "pretrained", "name", "model_name"})
    if taken:
        raise UserError(f"--model-kwargs {', '.join(taken)}: has its own option; use that one")
    if extra.get("in_chans", RGB) != RGB:
        raise UserError(f"--model-kwargs in_chans={extra['in_chans']}: images have {RGB} channels, RGB")
    for key in (key for key, value in extra.items() if value is None):
        raise UserError(
            f"--model-kwargs {key}=None: timm ignores None; pass a value, such as () for none at all"
        )
    try:
        return timm.create_model(name, pretrained=pretrained, **keywords, **extra)
    except Exception as error:  # models assert, and look their keywords up
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"--model {name}: {reason}") from error


@torch.no_grad()
def check_image_size(model: Any, name: str, side: int) -> None:
    """Reject a size of images that a model does not support, before hours of work.

    Raises:
        UserError: The model cannot read an image of this size.
    """
    training = model.training
    parameter = next(model.parameters())
    try:
        model.eval()(torch.zeros(1, RGB, side, side, device=parameter.device, dtype=parameter.dtype))
    except Exception as error:  # models assert, and fail in any of their layers
        reason = str(error).split("\n")[0]
        raise UserError(
            f"--img-size {side}: {name} does not support it ({reason}); choose the size of the model, or, "
            f"for a transformer of timm, add --model-kwargs img_size={side}"
        ) from error
    finally:
        model.train(training)


def load_weights(
    model: Any,
    checkpoint: str | Path,
    *,
    content: Mapping[str, Any] | None = None,
    use_ema: bool | None = None,
    reset_head: bool = False,
    drop_head: bool = False,
) -> None:
    """Load a checkpoint strictly: ours, the original release's, timm's, or Lightning's.

    Args:
        model: Model that receives the weights.
        checkpoint: Path of the file.
        content: Content of the file, if it has been read.
        use_ema: Take the moving average of the weights; ``None`` takes it where there is one.
        reset_head: Keep the model's initial classifier where the checkpoint has none, or one of another
            shape.
        drop_head: Keep the model's initial classifier in any case, because its classes are others.

    Raises:
        CheckpointError: The file cannot be read, or does not fit the model.
    """
    if content is None:
        content = read_checkpoint(checkpoint)
    head = [key for key in model.state_dict() if key.startswith(_heads(model))]
    initial = {key: model.state_dict()[key].clone() for key in head if drop_head}
    if isinstance(getattr(model, "backbone", None), LVT):
        load_content(model, content, name=str(checkpoint), use_ema=use_ema, reset_head=reset_head)
    else:
        _load_other(model, checkpoint, content, use_ema=use_ema, reset_head=reset_head)
    if initial:
        model.load_state_dict(initial, strict=False)
        logger.info("freshly initialised %s, because the classes differ", ", ".join(initial))


def _load_other(
    model: Any, checkpoint: str | Path, content: Mapping[str, Any], *, use_ema: bool | None, reset_head: bool
) -> None:
    """Load the weights of a model that is not an LVT."""
    initial = model.state_dict()
    weights = _fitting_names(select_weights(content, str(checkpoint), use_ema=use_ema), initial)
    fresh = []
    if reset_head:
        heads = _heads(model)
        fresh = [
            key
            for key in initial
            if key.startswith(heads) and (key not in weights or initial[key].shape != weights[key].shape)
        ]
        weights |= {key: initial[key] for key in fresh}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:400]
        raise CheckpointError(f"{checkpoint}: does not fit the model: {reason}") from error
    ema = takes_ema(content, use_ema) if "state_dict_ema" in content else None
    logger.info("loaded %s%s", checkpoint, describe_ema(ema))
    if fresh:
        logger.info("freshly initialised %s", ", ".join(fresh))


def head_names(model: Any) -> tuple[str, ...]:
    """Return the names of the layers that make a model's logits, by timm's configuration of it."""
    names = model.default_cfg.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _heads(model: Any) -> tuple[str, ...]:
    """Return the prefixes of the parameters of a model's classifier."""
    return tuple(f"{name}." for name in head_names(model))


def _fitting_names(weights: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix that a program put before the keys, if the model's keys are without it."""
    forms = [weights, strip_wrappers(weights), remove_prefix(weights, common_prefix(weights))]
    return max(forms, key=lambda form: len(form.keys() & wanted.keys()))


def count_outputs(model: Any, content: Mapping[str, Any], name: str) -> int | None:
    """Return the number of classes of a checkpoint's classifier, or ``None`` if it has none.

    Args:
        model: Model of the checkpoint's architecture, with any number of classes.
        content: Content of the checkpoint.
        name: Name of the file, for messages.
    """
    weights = strip_wrappers(select_weights(content, name))
    weights = _fitting_names(weights, model.state_dict())
    for head in _heads(model):
        for key in (f"{head}bias", f"{head}weight"):
            if key in weights:
                return len(weights[key])
    return None
