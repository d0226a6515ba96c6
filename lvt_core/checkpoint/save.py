"""Saving and converting: files are written whole, in our names or the original release's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lvt_core.checkpoint.names import StateDict, strip_wrappers, to_backbone, to_original
from lvt_core.checkpoint.read import SUFFIXES, CheckpointError, read_checkpoint, shorten
from lvt_core.checkpoint.weights import require_lvt, weights_of
from lvt_core.files import write_whole

LAYOUTS = ("lvt", "original")


def save_checkpoint(model: nn.Module | Mapping[str, Tensor], path: str | Path, **extra: Any) -> None:
    """Write a model's weights whole or not at all.

    Args:
        model: Model, or state dict.
        path: File that ends in ``.safetensors`` (only weights), ``.pth``, ``.pt`` or ``.pth.tar``.
        extra: More entries beside ``state_dict``: tensors and plain values. Without any, a ``.pth``
            contains the state dict itself.

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
        if extra:
            raise CheckpointError(f"{path}: safetensors store only weights, not {shorten(tuple(extra))}")
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
    """Rewrite a checkpoint with our names or the original release's.

    Args:
        source: Checkpoint to read.
        target: Checkpoint to write.
        to: ``'lvt'`` or ``'original'``.
        backbone: Keep only the backbone: the file that dense tasks start from.
        use_ema: Take the moving average.

    Returns:
        Tensors that were written.

    Raises:
        CheckpointError: The source cannot be read or is not an LVT, or ``to`` is unknown.
    """
    if to not in LAYOUTS:
        raise CheckpointError(f"to={to!r}: must be one of {', '.join(LAYOUTS)}")
    weights = weights_of(read_checkpoint(source), str(source), use_ema=use_ema)
    require_lvt(weights)
    result = to_backbone(weights.state_dict) if backbone else weights.state_dict
    if to == "original":
        result = to_original(result)
    save_checkpoint(result, target)
    return result
