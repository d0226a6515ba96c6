"""The folder of an export: it appears whole, and replaces exports alone."""

from __future__ import annotations

from pathlib import Path

from lvt_core.errors import UserError
from lvt_core.predict import MANIFEST, read_manifest


def require_replaceable(folder: Path) -> None:
    """Refuse to write over anything but an earlier export.

    Raises:
        UserError: The folder is a file, or holds what no export wrote.
    """
    if not folder.exists():
        return
    why = ""
    if folder.is_dir():
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        written: set[str] = set()
        if MANIFEST in names:
            try:
                written = {*read_manifest(folder)["sha256"], MANIFEST}
            except UserError as error:
                why = f" ({error})"
        if names <= written:
            return
    raise UserError(f"--output {folder}: is there already and is no export alone{why}; choose another folder")


def put_in_place(work: Path, folder: Path, old: Path) -> None:
    """Rename a finished folder; an earlier export goes to `old`, and comes back if that fails."""
    if not folder.exists():
        work.rename(folder)
        return
    folder.rename(old)
    try:
        work.rename(folder)
    except BaseException:  # the keyboard's, too: the earlier export lies where it would be deleted
        old.rename(folder)
        raise
