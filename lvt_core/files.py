"""Files and folders: walking through them, and writing them whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lvt_core.errors import UserError
from lvt_predict.files import read_file, require_writable_folder, write_text, write_whole

__all__ = [
    "count_left_out",
    "new_folder",
    "read_file",
    "require_writable_folder",
    "visible_files",
    "walk_files",
    "write_text",
    "write_whole",
]


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
