"""Images and labels of any data set that timm reads.

The random numbers of a sample follow from (seed, epoch, index). A run therefore does not depend on the number
of workers or processes, and a resumed run sees the same samples as an uninterrupted one.
"""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from timm.data import create_dataset, set_img_extensions
from torch import Tensor
from torch.utils.data import Dataset

from lvt_classify.data.classes import ClassIndex, read_class_map
from lvt_classify.data.decode import UnreadableImage
from lvt_classify.options.groups import DataOptions
from lvt_classify.seeds import seed_sample
from lvt_classify.token_labels.maps import label_path, read_label_map
from lvt_core.checkpoint.class_names import shown
from lvt_core.errors import UserError
from lvt_core.files import count_left_out, open_regular, require_tree, visible_files
from lvt_predict.pictures import SUFFIXES

logger = logging.getLogger(__name__)

IDENTITY = torch.eye(2, 3)
SPLIT_FOLDERS = ("train", "training", "val", "valid", "validation", "test", "eval")


class Sample(NamedTuple):
    """An image, uint8 ``(3, S, S)``, its class, geometry ``(2, 3)`` and label map, or ``None``."""

    image: Tensor
    target: int
    geometry: Tensor
    label_map: Tensor | None


class Images(Dataset):
    """A map-style timm data set whose samples carry geometry and label maps.

    Args:
        dataset: Data set from `timm.data.create_dataset`.
        transform: Function from an image, opened but not decoded, to a uint8 tensor; with label maps a
            `TrainTransform`, which also moves them.
        seed: Seed of the random numbers, beside the epoch and the index.
        label_root: Folder of token-label maps; ``''`` for none.
        num_classes: Number of classes that the label maps may name.
        classes: Indices of the classes in the model; ``None`` keeps them.
    """

    def __init__(
        self,
        dataset: Any,
        transform: Any,
        *,
        seed: int = 0,
        label_root: str = "",
        num_classes: int = 0,
        classes: ClassIndex | None = None,
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.seed = seed
        self.label_root = label_root
        self.num_classes = num_classes
        self.classes = classes

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample | UserError:
        """Return a sample, or a user's mistake: raised in a worker, it would be wrapped in a traceback."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        seed_sample(self.seed, epoch, index)
        try:
            image, target = self._read(index)
            target = target if self.classes is None else self.classes(target)
            label_map = None
            if self.label_root:
                path = label_path(self.label_root, self.filename(index))
                label_map = read_label_map(path, self.num_classes)
            result = self.transform(image)
            if label_map is not None:
                label_map = self.transform.move_labels(label_map)
            return make_sample(result, target, label_map)
        except UserError as error:
            return error
        except UnreadableImage as error:
            return UserError(f"{self._place(index)}: not a readable image ({error})")

    def filename(self, index: int) -> str:
        """Return the path of an image, relative to its split."""
        return self.dataset.filename(index)

    def _place(self, index: int) -> str:
        """Return the path of an image, or its number in a data set without files."""
        if hasattr(self.dataset, "filename"):
            return str(self.dataset.filename(index, absolute=True))
        files = getattr(self.dataset, "samples", None)  # torchvision's folders
        return str(files[index][0]) if files else f"image {index} of the data set"

    def _read(self, index: int) -> tuple[Image.Image, int]:
        """Return an image and its class; the image is not decoded yet if the data set reads files."""
        try:
            if not hasattr(self.dataset, "reader"):  # torchvision's data sets
                return self.dataset[index]
            samples = getattr(self.dataset.reader, "samples", None)
            if samples is not None and isinstance(samples[index][0], str):  # files, not members of an archive
                file, target = samples[index]
            else:
                file, target, *_ = self.dataset.reader[index]
            return open_image(file), target
        except Exception as error:  # Pillow raises many kinds for damaged files
            raise UnreadableImage(str(error)) from error


def open_image(source: Any) -> Image.Image:
    """Open an image of a reader of timm or torchvision, but do not decode it.

    Args:
        source: Path, open file, bytes, or an image.
    """
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, (str, Path)):
        with open_regular(source) as file:
            source = file.read()
    if not isinstance(source, bytes):
        with source:
            source = source.read()
    return Image.open(io.BytesIO(source))


def make_sample(result: Any, target: int, label_map: Tensor | None = None) -> Sample:
    """Make a sample from the output of a transform, with or without geometry."""
    tensor, geometry = result if isinstance(result, tuple) else (result, IDENTITY)
    return Sample(tensor, target, geometry, label_map)


def open_dataset(options: DataOptions, split: str, *, training: bool) -> Any:
    """Open a split with timm; reject folders that timm would misread.

    Raises:
        UserError: The folder or data set does not exist, or it or one of its classes has no images.
    """
    if not options.dataset and not Path(options.data_dir).exists():
        raise UserError(f"{options.data_dir}: no such data set folder")
    folders = [options.data_dir, os.path.join(options.data_dir, split)]
    if os.path.isdir(options.data_dir):
        require_tree(folders[1] if os.path.isdir(folders[1]) else options.data_dir)
    class_map = read_class_map(options.class_map, *folders) if options.class_map else None
    set_img_extensions(SUFFIXES)
    try:
        dataset = create_dataset(
            options.dataset,
            root=options.data_dir,
            split=split,
            is_training=training,
            class_map=class_map,  # type: ignore[arg-type]
            input_img_mode="",  # only `decode` decodes
            batch_size=options.batch_size,
            seed=getattr(options, "seed", 0),
        )
    except Exception as error:  # timm's readers assert, and look up what an index lacks
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"{options.data_dir}, split {split!r}: {reason}") from error
    if class_map is not None and not hasattr(dataset, "reader"):
        raise UserError(f"--class-map {options.class_map}: does not apply to --dataset {options.dataset}")
    if not options.dataset:
        _reject_missing_split(dataset, options.data_dir, split)
        _reject_loose_images(dataset)
        _reject_empty_classes(dataset, mapped=class_map is not None)
        note_left_out(dataset, options.class_map)
    elif hasattr(dataset, "loader"):  # torchvision's folders
        dataset.loader = open_image
        note_left_out(dataset)
    return dataset


def _reject_missing_split(dataset: Any, data_dir: str, split: str) -> None:
    """Reject a folder without the split: timm would read all its splits as this one."""
    root = getattr(getattr(dataset, "reader", None), "root", None)
    if root is None or not os.path.isdir(data_dir) or Path(root) != Path(data_dir):
        return
    others = [name for name in SPLIT_FOLDERS if os.path.isdir(os.path.join(data_dir, name))]
    if others:
        raise UserError(f"{data_dir}: has no folder for the split {split!r}, only {', '.join(others)}")


def _reject_loose_images(dataset: Any) -> None:
    """Reject images outside of class folders: timm would make a class without a name of them."""
    reader: Any = getattr(dataset, "reader", None)
    index = (getattr(reader, "class_to_idx", None) or {}).get("")
    if index is not None:
        file = next(file for file, target in reader.samples if target == index)
        raise UserError(f"{file}: is in no class folder; the folder of an image is its class")


def _reject_empty_classes(dataset: Any, *, mapped: bool) -> None:
    """Reject an empty class folder: it would silently shift the indices of all later classes.

    A class map gives them, and leaves out the folders that it does not name.
    """
    reader: Any = getattr(dataset, "reader", None)
    classes = getattr(reader, "class_to_idx", None)
    root = getattr(reader, "root", "")
    if not classes or not os.path.isdir(root):
        return
    used = {target for _, target in reader.samples}
    for entry in sorted(os.scandir(root), key=lambda e: e.name):
        if mapped and entry.name not in classes:
            continue
        if entry.is_dir() and classes.get(entry.name) not in used and not entry.name.startswith("."):
            has_images_below = any(name.startswith(entry.path + os.sep) for name, _ in reader.samples)
            if not has_images_below:
                raise UserError(
                    f"{entry.path}: the class folder holds no image ({', '.join(SUFFIXES)}); remove it"
                )


def note_left_out(dataset: Any, class_map: str = "") -> None:
    """Say which files of a folder are not read: those of other kinds, and of folders without an index.

    Args:
        dataset: Data set from timm.
        class_map: File that numbers the folders; ``''`` for none.
    """
    root = getattr(getattr(dataset, "reader", dataset), "root", "")
    if not os.path.isdir(root) or not logger.isEnabledFor(logging.WARNING):
        return
    taken = getattr(dataset, "extensions", SUFFIXES)  # torchvision's folders take fewer
    if kinds := count_left_out(root, taken):
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        logger.warning("note: %s: left out, because their names are not those of pictures: %s", root, counts)
    known = dataset.reader.class_to_idx if class_map else {}
    pictures = (path for path in visible_files(root) if path.suffix.lower() in taken)
    folders = {path.parent.name for path in pictures} - set(known) if class_map else set()
    if folders:
        logger.warning("note: --class-map %s: leaves out the folders %s", class_map, shown(sorted(folders)))
