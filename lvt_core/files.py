"""Files and folders: walking through them, and writing them whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lvt_core.errors import UserError
from lvt_predict.files import require_writable_folder, write_text, write_whole
from lvt_predict.reading import open_regular, read_file

__all__ = [
    "count_left_out",
    "new_folder",
    "open_regular",
    "read_file",
    "require_tree",
    "require_writable_folder",
    "visible_files",
    "walk_files",
    "write_text",
    "write_whole",
]

MOST_PATHS = 100  # on which links lead to one folder


def walk_files(folder: str | Path) -> Iterator[Path]:
    """Yield the files in a folder and in the folders inside, sorted; links are followed, in no circle.

    Raises:
        UserError: A folder cannot be read.
    """
    yield from _walk(Path(folder), frozenset((os.path.realpath(folder),)), Counter())


def require_tree(folder: str | Path) -> None:
    """Reject links to folders above them, and folders that are reached on very many paths.

    Raises:
        UserError: There is such a link, or a folder cannot be read.
    """
    paths: Counter[str] = Counter()
    waiting: list[tuple[str, tuple[str, ...]]] = [(str(folder), (os.path.realpath(folder),))]
    while waiting:
        place, above = waiting.pop()
        try:
            links = (each for each in os.scandir(place) if each.is_symlink() or each.is_dir())
            inner = [each.path for each in links if os.path.isdir(each.path)]
        except OSError as error:
            raise UserError(f"{place}: cannot be read as a folder ({error.strerror or error})") from error
        for path in inner:
            real = os.path.realpath(path)
            if real in above:
                raise UserError(f"{path}: is a link to a folder above it; remove it")
            _count(real, paths)
            waiting.append((path, (*above, real)))


def count_left_out(folder: str | Path, suffixes: Sequence[str]) -> Counter[str]:
    """Count the files in a folder without any of these suffixes, by suffix; hidden ones do not count."""
    kinds = (path.suffix.lower() for path in visible_files(folder))
    return Counter(kind or "without a suffix" for kind in kinds if kind not in suffixes)


def visible_files(folder: str | Path) -> Iterator[Path]:
    """Yield the files whose names, and those of their folders, do not begin with a dot."""
    for path in walk_files(folder):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _count(real: str, paths: Counter[str]) -> None:
    paths[real] += 1
    if paths[real] > MOST_PATHS:
        raise UserError(f"{real}: links lead to this folder on more than {MOST_PATHS} paths; remove some")


def _walk(folder: Path, above: frozenset[str], paths: Counter[str]) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read as a folder ({error.strerror or error})") from error
    for path in entries:
        if not path.is_dir():
            yield path
        elif (real := os.path.realpath(path)) not in above:
            _count(real, paths)
            yield from _walk(path, above | {real}, paths)


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
