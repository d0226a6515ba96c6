"""Data sets on disk: written whole, once for the same settings."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lvt_core.files import new_folder

SETTINGS_FILE = "dataset.json"


def require_at_least(settings: Any, **least: int) -> None:
    """Refuses settings that are too small.

    Raises:
        ValueError: Names the first of them.
    """
    for field, smallest in least.items():
        if getattr(settings, field) < smallest:
            raise ValueError(f"{field}={getattr(settings, field)}: must be {smallest} or more")


def make_once(root: Path, settings: Any, write: Callable[[Path], None]) -> bool:
    """Writes a data set whole, or leaves the one that is there if its settings are the same.

    Args:
        root: The data set's folder. One made here with other settings is replaced.
        settings: A dataclass; what the data set follows from.
        write: Fills the folder that it is given.

    Returns:
        True if it was written, False if it was already there.

    Raises:
        ValueError: If `root` exists and is not a data set made here.
    """
    wanted = json.loads(json.dumps(asdict(settings)))
    if root.exists():
        if not (root / SETTINGS_FILE).is_file():
            raise ValueError(f"root={root}: exists without a {SETTINGS_FILE}; name a new folder")
        if json.loads((root / SETTINGS_FILE).read_text(encoding="utf-8")) == wanted:
            return False
    with new_folder(root) as filling:
        write(filling)
        (filling / SETTINGS_FILE).write_text(json.dumps(wanted), encoding="utf-8")
    return True
