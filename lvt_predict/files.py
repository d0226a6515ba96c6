"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lvt_predict.errors import UserError


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that readers see the old one or the complete new one, never a part.

    The bytes go to a hidden neighbour, reach the disk, and then take the name in one step.

    Args:
        path: File; its folder is made if needed.
        write: Function that writes the content into an open binary file.

    Raises:
        UserError: The folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            os.unlink(temporary)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with `write_whole`."""
    write_whole(path, lambda file: file.write(text.encode()))


def require_writable_folder(path: str | Path) -> Path:
    """Make a folder if needed, and check before any work that files can be written there.

    Raises:
        UserError: The folder cannot be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write into the output folder {path}: {reason}") from error
    return path


def require_writable_file(path: str | Path) -> None:
    """Check before any work that a file can be written; its folder is made if needed.

    Raises:
        UserError: The folder cannot be made or written, or the path is a folder.
    """
    require_writable_folder(Path(path).parent)
    if Path(path).is_dir():
        raise UserError(f"cannot write {path}: it is a folder")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
