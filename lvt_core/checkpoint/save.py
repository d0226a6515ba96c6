"""Saving and converting: files are written whole, with our names or the original release's."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lvt_core.checkpoint.facts import facts_of
from lvt_core.checkpoint.load import describe_ema
from lvt_core.checkpoint.names import BACKBONE, StateDict, lvt_to_backbone, lvt_to_original, strip_wrappers
from lvt_core.checkpoint.read import EXTRA, SUFFIXES, CheckpointError, read_checkpoint, shorten
from lvt_core.checkpoint.weights import require_lvt, weights_of
from lvt_core.files import write_whole

logger = logging.getLogger(__name__)

LAYOUTS = ("lvt", "original")


def save_checkpoint(model: nn.Module | Mapping[str, Tensor], path: str | Path, **extra: Any) -> None:
    """Write a model's weights whole or not at all.

    Args:
        model: Model, or state dict.
        path: File that ends in ``.safetensors``, ``.pth``, ``.pt`` or ``.pth.tar``.
        extra: More entries beside ``state_dict``: tensors and plain values; in ``.safetensors``, whose
            metadata has them, only what JSON has. Without any, a ``.pth`` contains the state dict itself.

    Raises:
        CheckpointError: The file's ending is unknown, or does not support ``extra``.
        UserError: The file cannot be written.
    """
    path = Path(path)
    state_dict = model.state_dict() if isinstance(model, nn.Module) else dict(model)
    state_dict = {key: value.detach() for key, value in strip_wrappers(state_dict).items()}
    if not path.name.endswith(SUFFIXES):
        raise CheckpointError(f"{path}: a checkpoint's name must end in {', '.join(SUFFIXES)}")
    if path.suffix == ".safetensors":
        from safetensors.torch import save

        try:
            metadata = {EXTRA: json.dumps(extra)} if extra else None
        except TypeError as error:
            raise CheckpointError(
                f"{path}: safetensors store weights and plain values, not all of {shorten(extra)}"
            ) from error
        data = save({key: value.contiguous().cpu() for key, value in state_dict.items()}, metadata)
        write_whole(path, lambda file: file.write(data))
        return
    buffer = io.BytesIO()  # PyTorch's own writer does not say why a file cannot be written
    torch.save({"state_dict": state_dict, **extra} if extra else state_dict, buffer)
    write_whole(path, lambda file: file.write(buffer.getbuffer()))


def convert_checkpoint(
    source: str | Path,
    target: str | Path,
    *,
    to: str,
    backbone: bool = False,
    use_ema: bool | None = None,
) -> StateDict:
    """Rewrite a checkpoint with our names or the original release's; a whole network keeps its facts.

    Args:
        source: Checkpoint to read.
        target: Checkpoint to write.
        to: ``'lvt'`` or ``'original'``.
        backbone: Keep only the backbone: the file that dense tasks start from.
        use_ema: Take the moving average; ``None`` takes it where there is one.

    Returns:
        Tensors that were written.

    Raises:
        CheckpointError: The source cannot be read or is not an LVT, or ``to`` is unknown.
    """
    if to not in LAYOUTS:
        raise CheckpointError(f"to={to!r}: must be one of {', '.join(LAYOUTS)}")
    content = read_checkpoint(source)
    weights = weights_of(content, str(source), use_ema=use_ema)
    require_lvt(weights)
    logger.info("%s%s", source, describe_ema(weights.ema))
    result = weights.state_dict
    if backbone:
        result = {key: value for key, value in result.items() if key.startswith(BACKBONE)}
    if to == "original":
        result = lvt_to_original(result)
    elif backbone:
        result = lvt_to_backbone(result)
    facts = {} if backbone else facts_of(content, source).entries()  # a backbone has no classes
    save_checkpoint(result, target, **facts)
    return result
