"""The folder of a run: one run at a time writes into it, and what a killed run left unfinished is deleted."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lvt_core.errors import UserError

logger = logging.getLogger(__name__)

LOCK = ".lock"


@contextmanager
def live_folder(folder: str | Path, writes: Sequence[str]) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs; delete the unfinished files of a killed run.

    The lock belongs to the process and not to its children: workers that outlive a killed run hold nothing,
    so that the run can be continued at once.

    Args:
        folder: Folder, which exists.
        writes: Patterns of the names of the files that the run writes, at any depth.

    Raises:
        UserError: Another process writes into the folder.
    """
    with open(Path(folder, LOCK), "a+", encoding="utf-8") as file:
        _lock(Path(folder), file.fileno())
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        for name in writes:
            for path in Path(folder).rglob(f".{name}.????????"):  # as `write_whole` names them
                path.unlink(missing_ok=True)
        yield


def _lock(folder: Path, file: int) -> None:
    """Lock an open file until it is closed.

    Raises:
        UserError: Another process has locked it.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, lockf

        lockf(file, LOCK_EX | LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        owner = Path(folder, LOCK).read_text(encoding="utf-8", errors="replace")
        raise UserError(
            f"{folder}: {owner or 'another process'} writes into it; wait for its end, or name another folder"
        ) from error
    except (ImportError, OSError) as error:  # Windows, and file systems without locks
        logger.warning("note: %s: cannot be locked (%s); only one run may write into it", folder, error)
