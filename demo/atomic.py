"""Folders whole or not at all, as `lvt_core.files` does for files."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary sibling of `path` to fill; it becomes `path` when the block ends well.

    A folder already at `path` stays until the new one is whole, then makes way for it. If the
    block raises, the temporary folder is removed and `path` is as it was.

    Args:
        path: The folder to make.

    Yields:
        The empty temporary folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A sibling, because a rename is atomic only within one file system.
    filling = path.with_name(f".{path.name}.{os.getpid()}.filling")
    retired = path.with_name(f".{path.name}.{os.getpid()}.retired")
    filling.mkdir()
    try:
        yield filling
        if path.exists():
            path.rename(retired)
        filling.rename(path)
    finally:
        shutil.rmtree(filling, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)
