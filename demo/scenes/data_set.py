"""Data sets on disk: the settings fix every byte, and a folder is written whole or not at all."""

from __future__ import annotations

import argparse
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from demo.scenes.scans import SPLITS
from lvt_core.files import new_folder

SETTINGS_FILE = "dataset.json"
CHUNKS = 4  # per process: a slow chunk at the end delays little


@dataclass(frozen=True)
class DataSet(ABC):
    """Choices that fix every byte of a data set. Subclasses add their own, and draw the items.

    Attributes:
        smallest: Smallest allowed value of each setting.
        seed: Seed of all random choices.
    """

    smallest: ClassVar[dict[str, int]] = {"seed": 0}
    version: ClassVar[int]  # raise it when the same settings begin to give other pictures

    seed: int = 0

    def __post_init__(self) -> None:
        for name, smallest in self.smallest.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name}={getattr(self, name)}: must be {smallest} or more")

    @abstractmethod
    def count(self, split: str) -> int:
        """Return how many items a split has."""

    @abstractmethod
    def write_item(self, folder: Path, split: str, index: int) -> Any:
        """Write the files of one item into folders that exist; return what `finish` wants to know of it."""

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Make the folders that `write_item` fills."""

    def finish(self, folder: Path, split: str, items: list[Any]) -> None:  # noqa: B027  (an empty default)
        """Write the files that describe a whole split, from the results of `write_item`."""

    def make(self, root: Path, *, processes: int = 1) -> bool:
        """Write the data set whole, or keep an existing one with the same settings.

        Args:
            root: Folder of the data set. A data set with other settings is replaced.
            processes: Number of processes that draw side by side; the bytes do not depend on it.

        Returns:
            True if the data set was written, False if it was kept.

        Raises:
            ValueError: `root` exists and is not a data set of the demo.
        """
        wanted = {**asdict(self), "version": self.version}
        if root.exists():
            if not (root / SETTINGS_FILE).is_file():
                raise ValueError(f"root={root}: exists without a {SETTINGS_FILE}; name a new folder")
            if json.loads((root / SETTINGS_FILE).read_text(encoding="utf-8")) == wanted:
                return False
        with new_folder(root) as folder:
            self.prepare(folder)
            for split in SPLITS:
                self.finish(folder, split, self._write_items(folder, split, processes))
            (folder / SETTINGS_FILE).write_text(json.dumps(wanted), encoding="utf-8")
        return True

    def _write_items(self, folder: Path, split: str, processes: int) -> list[Any]:
        write = partial(self.write_item, folder, split)
        indices = range(self.count(split))
        if processes == 1:
            return [write(index) for index in indices]
        with ProcessPoolExecutor(processes) as pool:
            return list(pool.map(write, indices, chunksize=1 + len(indices) // (processes * CHUNKS)))


@dataclass(frozen=True)
class SceneSet(DataSet):
    """Settings of a data set of scenes.

    Attributes:
        train: Number of training scenes; their digits come from the training scans.
        val: Number of validation scenes; their digits come from the held-out scans.
    """

    smallest: ClassVar[dict[str, int]] = {"train": 1, "val": 1, "seed": 0}

    train: int = 1
    val: int = 1

    def count(self, split: str) -> int:
        """Return how many scenes a split has."""
        return self.train if split == "train" else self.val


def data_command(data_set: type[DataSet], argv: Sequence[str] | None = None) -> None:
    """Run the command line that writes a data set: one option per setting."""
    parser = argparse.ArgumentParser(description=f"Write the demo's {data_set.__name__}.")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    names = [field.name for field in fields(data_set)]
    for field in fields(data_set):
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(
            option, type=int, default=field.default, metavar="N", help=f"default: {field.default}"
        )
    args = parser.parse_args(argv)
    try:
        written = data_set(**{name: getattr(args, name) for name in names}).make(args.out)
    except ValueError as error:
        parser.error(str(error))
    print(f"{args.out}: {'written' if written else 'already complete'}")
