"""The folder of an export: it appears whole, and only replaces earlier exports."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lvt_core.errors import UserError
from lvt_core.files import new_folder, require_writable_folder
from lvt_predict.manifest import MANIFEST, read_manifest

LONGEST_NAME = 240  # bytes: file systems allow 255, and the temporary folder's name is longer
FULL = 2**20  # free bytes below which a disk counts as full
UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EROFS, errno.EACCES, errno.EPERM),
)


@contextmanager
def export_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes the export when the block ends without an exception.

    Raises:
        UserError: The folder must not be replaced or cannot be written, or the disk is full.
    """
    require_replaceable(folder)
    require_writable_folder(folder.parent)
    with report_unwritable(folder), new_folder(folder) as work:
        yield work


@contextmanager
def report_unwritable(folder: Path) -> Iterator[None]:
    """Turn a full disk and its like into a sentence; other errors pass.

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
    except RuntimeError as error:  # writers in C++ do not say why
        if not folder.parent.is_dir() or shutil.disk_usage(folder.parent).free >= FULL:
            raise
        raise UserError(f"--output {folder}: cannot be written: the disk is full") from error


def require_replaceable(folder: Path) -> None:
    """Reject a folder that cannot become an export, or that contains anything but an earlier export.

    Raises:
        UserError: The folder is the current one or around it, a link, or a file, has a name that is too
            long, or contains files that no export wrote.
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
        if folder.is_dir() and all(name in written for name in files):  # stops at the first foreign file
            return
    except OSError as error:
        raise UserError(f"--output {folder}: cannot be written ({error.strerror or error})") from error
    raise UserError(f"--output {folder}: already exists, and not only as an export{why}; choose another")


def _require_nameable(folder: Path) -> None:
    if folder.is_symlink():
        raise UserError(f"--output {folder}: is a link; name the folder itself, or another one")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UserError(f"--output {folder}: contains the current folder; name another one")
    if (length := len(os.fsencode(folder.name))) > LONGEST_NAME:
        raise UserError(f"--output: its name has {length} bytes, allowed are {LONGEST_NAME}")
