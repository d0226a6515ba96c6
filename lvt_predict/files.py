"""Files: writing them whole or not at all, and reading small ones of unknown origin."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lvt_predict.errors import UserError


@contextmanager
def open_regular(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to read it; a pipe or a device, which may never end, is rejected.

    Raises:
        UserError: The file cannot be read, or is not a regular file.
    """
    try:
        file = open_file(path)
    except ValueError as error:  # the name has a null byte
        raise UserError(f"cannot read {str(path)!r}: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    with file:
        try:
            yield file
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def open_file(path: str | Path) -> BinaryIO:
    """Open a file like `open_regular`, with the exceptions of the system.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    # A pipe without a writer would block; without this flag, opening it already does.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "is not a regular file")
    return os.fdopen(handle, "rb")


def read_file(path: str | Path, *, most: int) -> bytes:
    """Read a file that should be small.

    Args:
        path: File; a pipe, which may never end, is rejected.
        most: Largest number of bytes.

    Raises:
        UserError: The file cannot be read, is larger, or is not a regular file.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UserError(f"cannot read {path}: has more than {most:,} bytes")
    return content


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
