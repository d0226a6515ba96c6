"""Files and folders: those functions of `lvt_predict`, and folders that are written whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lvt_predict.files import require_writable_file, require_writable_folder, write_text, write_whole
from lvt_predict.folders import count_left_out, require_tree, visible_files, walk_files
from lvt_predict.reading import open_regular, read_file

__all__ = [
    "count_left_out",
    "new_folder",
    "open_regular",
    "read_file",
    "require_tree",
    "require_writable_file",
    "require_writable_folder",
    "visible_files",
    "walk_files",
    "write_text",
    "write_whole",
]


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
