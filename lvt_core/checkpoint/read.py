"""Checkpoint files, read without running code from them."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvt_core.checkpoint.limits import require_dense, require_stored
from lvt_core.checkpoint.names import StateDict
from lvt_core.errors import UserError

SUFFIXES = (".pth", ".pth.tar", ".pt", ".safetensors")
EXTRA = "lvt"  # key of the plain values in the metadata of a safetensors file
LONGEST = 300  # characters of a key that a message shows
_reading = threading.Lock()


class CheckpointError(UserError):
    """A checkpoint that cannot be read, or does not fit the model.

    Attributes:
        missing: Keys of the model that are not in the checkpoint.
        unexpected: Keys of the checkpoint that are not in the model.
        mismatched: Keys of another shape, each with both shapes.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: tuple[str, ...] = (),
        unexpected: tuple[str, ...] = (),
        mismatched: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.missing, self.unexpected, self.mismatched = missing, unexpected, mismatched


class LogHistory:
    """A stand-in for mmengine's log history in checkpoints, where only weights are needed."""

    min = max = current = mean = None


def mmengine_globals(history: type = LogHistory) -> list[Any]:
    """List the types in mmengine's checkpoints besides tensors and plain values, for `read_checkpoint`.

    Args:
        history: Class that stands for mmengine's log history. To continue a run, pass mmengine's class.
    """

    def statistic(owner: type, name: str) -> Any:
        """Replace `getattr`, which the log history uses only for its four statistics."""
        if owner is not history or name not in ("min", "max", "current", "mean"):
            raise pickle.UnpicklingError(f"GLOBAL getattr {name}")
        return getattr(owner, name)

    dtypes = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4")]
    array = np.empty(0)
    named = [(history, "mmengine.logging.history_buffer.HistoryBuffer"), (statistic, "builtins.getattr")]
    # The functions that rebuild arrays and numbers moved with numpy 2.
    makers: list[Any] = [array.__reduce__()[0], np.float64(0).__reduce__()[0]]  # type: ignore[index]
    for maker in makers:
        named += [(maker, f"numpy.{home}.multiarray.{maker.__name__}") for home in ("core", "_core")]
    return [*named, np.ndarray, np.dtype, *dtypes]


def read_checkpoint(path: str | Path, *, allowed: Sequence[Any] | None = None) -> dict[str, Any]:
    """Read a checkpoint's content to the CPU without running code from it.

    Args:
        path: File.
        allowed: Classes and functions that are allowed besides tensors and plain values; by default
            `mmengine_globals`.

    Raises:
        CheckpointError: The file is missing, its kind is unknown, it is damaged, it contains a class or
            function that is not allowed, or its content is not a dict.
    """
    content = read_checkpoint_object(path, allowed=allowed)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: contains a {type(content).__name__}, must be a state dict")
    return content


def read_checkpoint_object(path: str | Path, *, allowed: Sequence[Any] | None = None) -> Any:
    """Read a file like `read_checkpoint`; its content may be any tensors and plain values."""
    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        raise CheckpointError(f"{path}: a checkpoint's name must end in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        require_stored(path)
        # Files of timm's and VOLO's training scripts carry their options as a Namespace.
        known = [argparse.Namespace, *(mmengine_globals() if allowed is None else allowed)]
        # PyTorch keeps the allowed types and the filters of warnings for the whole process.
        with _reading, torch.serialization.safe_globals(known), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old pickle protocols
            content = torch.load(path, map_location="cpu", weights_only=True)
        require_dense(content, str(path))
        return content
    except pickle.UnpicklingError as error:
        rejected = re.search(r"(?:GLOBAL|Unsupported (?:global|class)) ([\w.]+)", str(error))
        if rejected is None:
            raise CheckpointError(
                f"{path}: not a readable checkpoint; it is damaged, or has more than tensors and plain values"
            ) from error
        raise CheckpointError(
            f"{path}: rejected, because it contains {rejected[1]}; only tensors and plain values are allowed"
        ) from error
    except UserError as error:
        raise CheckpointError(str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make torch and safetensors raise nearly anything
        raise CheckpointError(f"{path}: not a readable checkpoint; it is damaged or cut off") from error


def _read_safetensors(path: Path) -> dict[str, Any]:
    """Read tensors and, if `save_checkpoint` wrote some, the plain values beside them."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        extra = json.loads((file.metadata() or {}).get(EXTRA, "{}"))
    return {**extra, "state_dict": tensors} if extra else tensors


def takes_ema(content: Mapping[str, Any], use_ema: bool | None) -> bool:
    """Whether to take the moving average; ``None`` takes it where there is one.

    Our training, timm's and the original release's rank checkpoints by the moving average if they keep one.
    """
    return isinstance(content.get("state_dict_ema"), Mapping) if use_ema is None else use_ema


def select_weights(content: Mapping[str, Any], name: str, *, use_ema: bool | None = None) -> StateDict:
    """Find the state dict in a checkpoint's content.

    Args:
        content: Content, as `read_checkpoint` returns it, or a state dict.
        name: Name of the file, for messages.
        use_ema: Take the moving average; ``None`` decides as `takes_ema` does.

    Raises:
        CheckpointError: The content has no weights, or no moving average of them.
    """
    if takes_ema(content, use_ema):
        if not isinstance(content.get("state_dict_ema"), Mapping):
            raise CheckpointError(f"{name}: has no moving average (key 'state_dict_ema')")
        content = content["state_dict_ema"]
    else:
        for wrapper in ("state_dict", "model"):
            if isinstance(content.get(wrapper), Mapping):
                content = content[wrapper]
                break
    if not content or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        keys = shorten(map(str, content))
        raise CheckpointError(f"{name}: does not contain a state dict; its keys are {keys}")
    return dict(content)


def shorten(names: Iterable[str], most: int = 12) -> str:
    """Join the first few of many names, and say how many more there are."""
    names = [name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
