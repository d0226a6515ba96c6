"""The folder of a run: one run at a time writes into it, and what a killed run left unfinished is deleted."""

from __future__ import annotations

import logging
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO, cast

from lvt_core.errors import UserError

logger = logging.getLogger(__name__)

LOCK = ".lock"
LONGEST = 1000  # bytes that are shown of the file


@contextmanager
def live_folder(folder: str | Path, writes: Sequence[str], *, owner: bool = True) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs; delete the unfinished files of a killed run.

    The lock belongs to the process and not to its children: workers that outlive a killed run hold nothing,
    so that the run can be continued at once.

    Args:
        folder: Folder, which exists.
        writes: Patterns of the files that the run writes, relative to the folder.
        owner: This process locks the folder; the others of its run do nothing.

    Raises:
        UserError: Another process writes into the folder, or the lock's file cannot be written.
    """
    if not owner:
        yield
        return
    with _open_lock(Path(folder, LOCK)) as file:
        _lock(Path(folder), file)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        for pattern in map(PurePath, writes):
            # `write_whole` gives a file such a name until it is complete.
            for path in Path(folder).glob(str(pattern.with_name(f".{pattern.name}.????????"))):
                path.unlink(missing_ok=True)
        yield


def _open_lock(path: Path) -> BinaryIO:
    """Open the file of a lock, or make it; a link might lead to a file of the user.

    Raises:
        UserError: The file cannot be written, or is not a regular one.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.open(path, flags, 0o666)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; remove it") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UserError(f"cannot write {path}: is not a regular file; remove it")
    return cast(BinaryIO, open(file, "r+b", buffering=0))


def _lock(folder: Path, file: BinaryIO) -> None:
    """Lock an open file until it is closed.

    Raises:
        UserError: Another process has locked it.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, lockf

        lockf(file, LOCK_EX | LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        owner = file.read(LONGEST).decode(errors="replace")
        raise UserError(
            f"{folder}: {owner or 'another process'} writes into it; wait for its end, or name another folder"
        ) from error
    except (ImportError, OSError) as error:  # Windows, and file systems without locks
        logger.warning("note: %s: cannot be locked (%s); only one run may write into it", folder, error)
