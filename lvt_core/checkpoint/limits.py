"""Limits of checkpoints of unknown origin: a small file must not describe values that fill the memory."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lvt_core.errors import UserError

ARCHIVE = b"PK\x03\x04"  # the first bytes of an archive
MOST_DIMENSIONS = 32
MOST_VIEWS = 10  # bytes of all tensors for each stored byte; tied weights share their storage
FREE = 1 << 24  # bytes of tensors that need no storage


def require_stored(path: Path) -> None:
    """Reject an archive with compressed members, or with members that share their bytes.

    `torch.save` writes neither.

    Raises:
        UserError: The archive is damaged, or would need more memory than the file has bytes.
    """
    with open(path, "rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            return  # PyTorch's older format, which has no archive
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # PyTorch's own reader might open what this one cannot look into
        raise UserError(f"{path}: not a readable checkpoint; it is damaged or cut off") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UserError(f"{path}: rejected, because it is compressed; write it with torch.save")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise UserError(f"{path}: rejected, because its members share their bytes; write it with torch.save")


def require_dense(content: Any, name: str) -> None:
    """Reject tensors whose values are not stored one by one.

    Args:
        content: Content of a checkpoint.
        name: Name of the file, for messages.

    Raises:
        UserError: A tensor is sparse or expanded, or many tensors are views of a few bytes.
    """
    used, stored = 0, {}
    for value in _tensors(content):
        shape = tuple(value.shape[:MOST_DIMENSIONS])
        if value.layout != torch.strided or value.ndim > MOST_DIMENSIONS or value.device.type != "cpu":
            raise UserError(f"{name}: rejected, because it has a tensor {shape} without ordinary storage")
        size = value.numel() * value.element_size()
        storage = value.untyped_storage()
        if size > storage.nbytes():
            raise UserError(
                f"{name}: rejected, because it has a tensor {shape} with only {storage.nbytes()} bytes; "
                "save expanded tensors with .clone()"
            )
        used += size
        stored[storage.data_ptr()] = storage.nbytes()
    if used > FREE + MOST_VIEWS * sum(stored.values()):
        raise UserError(f"{name}: rejected, because its tensors repeat a few values many times")


def _tensors(content: Any) -> Iterable[Tensor]:
    """Yield all tensors in nested containers; a container that occurs several times is visited once."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (dict, list, tuple, set, argparse.Namespace)) and id(value) not in seen:
            seen.add(id(value))
            value = vars(value) if isinstance(value, argparse.Namespace) else value
            waiting += [*value, *value.values()] if isinstance(value, dict) else value
