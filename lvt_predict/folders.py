"""Walking through folders; links are followed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from lvt_predict.errors import UserError

MOST_PATHS = 100  # on which links lead to one folder


def walk_files(folder: str | Path) -> Iterator[Path]:
    """Yield the files in a folder and in the folders inside, sorted; links are followed, in no circle.

    Raises:
        UserError: A folder cannot be read.
    """
    yield from _walk(Path(folder), frozenset((os.path.realpath(folder),)), Counter(), hidden=True, once=False)


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


def visible_files(folder: str | Path, *, once: bool = False) -> Iterator[Path]:
    """Yield the files whose names, and those of their folders, do not begin with a dot, as `walk_files` does.

    Args:
        folder: Folder.
        once: Yield the files of a folder once, even if several links lead to it.

    Raises:
        UserError: A folder cannot be read.
    """
    real = os.path.realpath(folder)
    yield from _walk(Path(folder), frozenset((real,)), Counter(), hidden=False, once=once)


def _count(real: str, paths: Counter[str]) -> None:
    paths[real] += 1
    if paths[real] > MOST_PATHS:
        raise UserError(f"{real}: links lead to this folder on more than {MOST_PATHS} paths; remove some")


def _walk(
    folder: Path, above: frozenset[str], paths: Counter[str], *, hidden: bool, once: bool
) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read as a folder ({error.strerror or error})") from error
    for path in entries:
        if path.name.startswith(".") and not hidden:
            continue
        if not path.is_dir():
            yield path
        elif (real := os.path.realpath(path)) not in above and not (once and paths[real]):
            _count(real, paths)
            yield from _walk(path, above | {real}, paths, hidden=hidden, once=once)
