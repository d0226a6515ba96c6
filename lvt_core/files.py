"""Writing files and folders whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lvt_core.errors import UserError


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


def walk_files(folder: str | Path) -> Iterator[Path]:
    """Yield the files in a folder and in the folders inside, sorted; links are followed, in no circle.

    Raises:
        UserError: A folder cannot be read.
    """
    yield from _walk(Path(folder), frozenset((os.path.realpath(folder),)))


def count_left_out(folder: str | Path, suffixes: Sequence[str]) -> Counter[str]:
    """Count the files in a folder without any of these suffixes, by suffix; hidden ones do not count."""
    kinds = (path.suffix.lower() for path in visible_files(folder))
    return Counter(kind or "without a suffix" for kind in kinds if kind not in suffixes)


def visible_files(folder: str | Path) -> Iterator[Path]:
    """Yield the files whose names, and those of their folders, do not begin with a dot."""
    for path in walk_files(folder):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read as a folder ({error.strerror or error})") from error
    for path in entries:
        if not path.is_dir():
            yield path
        elif (real := os.path.realpath(path)) not in above:
            yield from _walk(path, above | {real})


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder, which takes the name `path` when the block ends without an exception.

    An earlier folder at `path` stays until the new one is complete, and comes back if the change fails.

    Args:
        path: Folder to make; its parents are made if needed.

    Yields:
        Empty folder to fill, on the same file system and with the same name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
        work, old = Path(temporary, path.name), Path(temporary, "old")
        work.mkdir()
        yield work
        if path.exists():
            path.rename(old)
        try:
            work.rename(path)
        except BaseException:  # also an interrupt: the earlier folder would be deleted with the temporary one
            if old.exists():
                old.rename(path)
            raise


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
