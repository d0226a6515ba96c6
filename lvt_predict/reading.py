"""Reading files of unknown origin: pipes, devices and very long files are rejected."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from lvt_predict.errors import UserError


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file to read it; a pipe or a device, which may never end, is rejected.

    Raises:
        OSError: The file cannot be opened, or is not a regular file.
        ValueError: The name has a null byte.
    """
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115  (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "is not a regular file")
    return file


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe would wait for its writer


def read_file(path: str | Path, *, most: int) -> bytes:
    """Read a file that should be small.

    Args:
        path: File; a pipe, which may never end, is rejected.
        most: Largest number of bytes.

    Raises:
        UserError: The file cannot be read, is larger, or is not a regular file.
    """
    try:
        with open_regular(path) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:  # the name has a null byte
        raise UserError(f"cannot read {str(path)!r}: {error}") from error
    if len(content) > most:
        raise UserError(f"cannot read {path}: has more than {most:,} bytes")
    return content
