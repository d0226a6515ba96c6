"""Classes of data sets: their names, class maps, and their indices in a model."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from lvt_classify.options.groups import DataOptions
from lvt_core.checkpoint.class_names import IMAGENET_CLASSES, imagenet_names, match_classes, shown
from lvt_core.errors import UserError
from lvt_core.files import write_text

logger = logging.getLogger(__name__)

REMEDY = "rename the folders, or give each an index of the model with --class-map FILE"
CLASSES = "classes.txt"  # in a folder of label maps: a class map of what the maps name


@dataclass(frozen=True)
class ClassIndex:
    """The index in a model of each class of a data set.

    Attributes:
        num_classes: Number of the model's classes.
        class_to_idx: Names of the model's classes, with their indices, if it has names.
        moves: Model's index of a data set's index, where they differ.
    """

    num_classes: int
    class_to_idx: Mapping[str, int] | None = None
    moves: Mapping[int, int] = field(default_factory=dict)

    def __call__(self, target: int) -> int:
        """Return the model's index.

        Raises:
            UserError: The model has no such class.
        """
        index = self.moves.get(int(target), int(target))
        if not 0 <= index < self.num_classes:
            raise UserError(
                f"the data set has the class {index}, but the model has {self.num_classes} classes, counted "
                "from 0; set --num-classes, or map the data set's classes with --class-map FILE"
            )
        return index


def dataset_classes(dataset: Any) -> dict[str, int] | None:
    """Return the names of a data set's classes with their indices, if it has names."""
    reader = getattr(dataset, "reader", dataset)
    names = getattr(reader, "class_to_idx", None)
    names = names or getattr(reader, "class_name_to_idx", None)  # timm's reader of tar files
    if not names and getattr(dataset, "classes", None):
        names = {str(name): index for index, name in enumerate(dataset.classes)}
    if not names or not all(isinstance(name, str) for name in names):
        return None
    return {name: int(index) for name, index in names.items()}


def index_classes(
    dataset: Any, known: Mapping[str, int] | None, *, num_classes: int, class_map: str, data: str, model: str
) -> ClassIndex:
    """Match a data set's classes with those of a model, by name.

    Args:
        dataset: Data set from `open_dataset`.
        known: Names of the model's classes, with their indices, if it has names.
        num_classes: Number of the model's classes.
        class_map: File that gave the data set its indices, which are then the model's; ``''`` for none.
        data: Data set, for messages.
        model: Model or its file, for messages.

    Raises:
        UserError: The data set has a class that the model does not have, or the map contradicts the model.
    """
    names = dataset_classes(dataset)
    if names is None:
        return ClassIndex(num_classes, known)
    if class_map:
        _reject_contradictions(names, known, num_classes=num_classes, class_map=class_map, model=model)
        return ClassIndex(num_classes, known or names)
    if known is None:
        known = imagenet_names(names, num_classes)
        order = "their order" if known is None else "the names of ImageNet"
        logger.warning("note: %s has no class names; the data set's classes are matched by %s", model, order)
    indices = match_classes(names, known, num_classes=num_classes, data=data, model=model, remedy=REMEDY)
    known = known or indices
    absent = [name for name in known if name not in names]
    if absent:
        logger.warning("note: %s: %d of the model's classes are absent: %s", data, len(absent), shown(absent))
    moves = {names[name]: index for name, index in indices.items() if names[name] != index}
    return ClassIndex(num_classes, known, moves)


def _reject_contradictions(
    names: Mapping[str, int],
    known: Mapping[str, int] | None,
    *,
    num_classes: int,
    class_map: str,
    model: str,
) -> None:
    largest = max(names, key=lambda name: names[name])
    if names[largest] >= num_classes:
        raise UserError(
            f"--class-map {class_map}: gives {largest!r} the index {names[largest]}, but {model} has "
            f"{num_classes} classes, counted from 0"
        )
    for name, index in names.items():
        if known and name in known and known[name] != index:
            raise UserError(
                f"--class-map {class_map}: gives {name!r} the index {index}, but in {model} it is "
                f"{known[name]}; correct the map, or leave it out"
            )


def training_classes(options: DataOptions, dataset: Any) -> ClassIndex:
    """Return the classes of a new run, numbered by the class map or by the order of their names.

    Raises:
        UserError: ``--num-classes`` is too small.
    """
    names = dataset_classes(dataset)
    if names is None:
        return ClassIndex(options.num_classes or IMAGENET_CLASSES)
    count = 1 + max(names.values())  # as timm counts
    wanted = options.num_classes or count
    if wanted < count:
        raise UserError(f"--num-classes {wanted}: must be at least {count}, as many as the data set has")
    known = imagenet_names(names, wanted)
    if known and not options.class_map and len(names) < wanted:
        logger.warning("note: %d classes have the names of ImageNet, and get its indices", len(names))
        return ClassIndex(wanted, known, {index: known[name] for name, index in names.items()})
    return ClassIndex(wanted, names)


def read_class_map(file: str, *folders: str) -> dict[Any, int]:
    """Read a class map as timm does: names by line in ``.txt``, or a dict of names and indices in ``.pkl``.

    Args:
        file: File.
        folders: Folders that its name may be relative to, beside the working directory.

    Raises:
        UserError: The file is missing or is not a class map.
    """
    path = next((p for p in (Path(file), *(Path(folder) / file for folder in folders)) if p.is_file()), None)
    if path is None:
        raise UserError(f"--class-map {file}: no such file")
    if path.suffix.lower() == ".txt":
        return _read_lines(file, path)
    try:
        with path.open("rb") as opened:
            content = _PlainUnpickler(opened).load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise UserError(
            f"--class-map {file}: must be a .txt file with a name per line, or a .pkl file of a dict of "
            f"names and indices ({error or type(error).__name__})"
        ) from error
    if (
        not isinstance(content, dict)
        or not content
        or not all(type(index) is int and index >= 0 for index in content.values())
    ):
        raise UserError(f"--class-map {file}: must give each name an index, a whole number from 0 on")
    return content


class _PlainUnpickler(pickle.Unpickler):
    """Reader of dicts, texts and numbers: any other object could run code."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}, which could run code")


def _read_lines(file: str, path: Path) -> dict[Any, int]:
    """Read a name per line; its index is the number of the line, from 0, and an empty line has no name."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--class-map {file}: cannot be read as UTF-8 text ({error})") from error
    names: dict[Any, int] = {}
    for index, line in enumerate(lines):
        name = line.strip()
        if name in names:
            lines_of = f"{names[name] + 1} and {index + 1}"
            raise UserError(f"--class-map {file}: has {name!r} in the lines {lines_of}; remove one")
        if name:
            names[name] = index
    if not names:
        raise UserError(f"--class-map {file}: has no name of a class")
    return names


def write_label_classes(folder: Path, classes: ClassIndex) -> None:
    """Write the class map of a folder of label maps.

    Raises:
        UserError: The folder has maps of other classes.
    """
    if classes.class_to_idx is None:
        return
    names = {index: name for name, index in reversed(list(classes.class_to_idx.items()))}
    text = "".join(f"{names.get(index, '')}\n" for index in range(classes.num_classes))
    path = folder / CLASSES
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UserError(
            f"--labels {folder}: has maps of other classes, which {CLASSES} names; choose another folder"
        )
    write_text(path, text)


def check_label_classes(folder: str, classes: ClassIndex, names: Mapping[str, int] | None) -> None:
    """Reject label maps whose classes are not those of the run.

    Args:
        folder: Folder of label maps.
        classes: Classes of the run.
        names: Names of the data set's classes, if it has names.

    Raises:
        UserError: The maps give a class another index, or have other classes.
    """
    path = Path(folder) / CLASSES
    if not path.is_file():
        if names and not classes.moves and 1 + max(names.values()) < classes.num_classes:
            raise UserError(
                f"--token-label-data {folder}: its maps name classes by index; say which index each of the "
                f"data set's {len(names)} classes has among {classes.num_classes} with --class-map FILE"
            )
        return
    stored = _read_lines(str(path), path)
    for name, index in (classes.class_to_idx or {}).items():
        if stored.get(name) != index and (names is None or name in names):
            known = f"the index {stored[name]}" if name in stored else "no index"
            raise UserError(
                f"--token-label-data {folder}: its maps give {name!r} {known}, this run {index}; train with "
                f"--class-map {path}"
            )
