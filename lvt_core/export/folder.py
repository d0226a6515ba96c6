"""The folder of an export: it appears whole, and replaces exports alone."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lvt_core.errors import UserError
from lvt_predict.manifest import MANIFEST, read_manifest

LONGEST_NAME = 240  # bytes: file systems have 255, and the folder's name has an ending while it is written
FULL = 2**20  # bytes that are free, or fewer
UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EROFS, errno.EACCES, errno.EPERM),
)


@contextmanager
def told_what_cannot_be_written(folder: Path) -> Iterator[None]:
    """Turn a full disk, and the like, into a sentence; other errors are none of the user's.

    Raises:
        UserError: Something cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        place = f" ({error.filename})" if error.filename else ""
        raise UserError(f"--output {folder}: cannot be written: {error.strerror}{place}") from error
    except RuntimeError as error:  # of writers in C++
        if not folder.parent.is_dir() or shutil.disk_usage(folder.parent).free >= FULL:
            raise
        raise UserError(f"--output {folder}: cannot be written: the disk is full") from error


def require_replaceable(folder: Path) -> None:
    """Refuse what cannot become an export's folder, or to write over anything but an earlier export.

    Raises:
        UserError: It is this folder or one around it, a link, a file, no name that can be written, or holds
            what no export wrote.
    """
    why = ""
    try:
        _require_nameable(folder)
        if not folder.exists():
            return
        written: set[str] = set()
        if (folder / MANIFEST).exists():
            try:
                written = {*read_manifest(folder)["sha256"], MANIFEST}
            except UserError as error:
                why = f" ({error})"
        files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
        if folder.is_dir() and all(name in written for name in files):  # up to the first that is not ours
            return
    except OSError as error:
        raise UserError(f"--output {folder}: cannot be written ({error.strerror or error})") from error
    raise UserError(f"--output {folder}: is there already and is no export alone{why}; choose another folder")


def _require_nameable(folder: Path) -> None:
    if folder.is_symlink():
        raise UserError(f"--output {folder}: is a link; name the folder itself, or another one")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UserError(f"--output {folder}: holds the folder that you are in; name another one")
    if (length := len(os.fsencode(folder.name))) > LONGEST_NAME:
        raise UserError(f"--output: its name has {length} bytes, allowed are {LONGEST_NAME}")
