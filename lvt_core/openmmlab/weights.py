"""The weights that a config names for any module (``init_cfg``), read without running code from them.

mmengine falls back to unpickling anything where a file has more than tensors and plain values.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from lvt_core.checkpoint.read import mmengine_globals, read_checkpoint
from lvt_core.errors import UserError

STORES = ("pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://")  # as mmengine names their schemes


def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a file to the CPU; mmengine copies the values to where they belong.

    Args:
        filename: File; ``~`` is the home folder.
        map_location: Device, which mmengine passes; it has no effect.

    Raises:
        CheckpointError: The file cannot be read safely.
    """
    return read_checkpoint(os.path.expanduser(filename), allowed=mmengine_globals(HistoryBuffer))


def reject_store(filename: str, map_location: Any = None) -> NoReturn:
    """Reject a store of objects, whose files mmengine would unpickle.

    Raises:
        UserError: Always.
    """
    raise UserError(f"{filename}: weights are read from files and web addresses only; download the file")


def read_weights_safely() -> None:
    """Make mmengine read local files of weights with `read_checkpoint`, for the whole process."""
    CheckpointLoader.register_scheme("", load_from_local, force=True)
    CheckpointLoader.register_scheme(STORES, reject_store, force=True)
