"""Images and labels of any data set that timm reads.

The random numbers of a sample follow from (seed, epoch, index). A run therefore does not depend on the number
of workers or processes, and a resumed run sees the same samples as an uninterrupted one.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from timm.data import create_dataset
from torch import Tensor
from torch.utils.data import Dataset

from lvt_classify.data.decode import UnreadableImage
from lvt_classify.options.groups import DataOptions
from lvt_classify.seeds import seed_sample
from lvt_classify.token_labels.maps import label_path, read_label_map
from lvt_core.errors import UserError

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
        transform: Function from an image, opened but not decoded, to a uint8 tensor or, in training, to a
            tensor and its geometry.
        seed: Seed of the random numbers, beside the epoch and the index.
        label_root: Folder of token-label maps; ``''`` for none.
        num_classes: Number of classes that the label maps may name.
    """

    def __init__(
        self,
        dataset: Any,
        transform: Callable[[Image.Image], Any],
        *,
        seed: int = 0,
        label_root: str = "",
        num_classes: int = 0,
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.seed = seed
        self.label_root = label_root
        self.num_classes = num_classes

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample | UserError:
        """Return a sample, or a user's mistake: raised in a worker, it would be wrapped in a traceback."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        seed_sample(self.seed, epoch, index)
        try:
            image, target = self._read(index)
            label_map = None
            if self.label_root:
                path = label_path(self.label_root, self.filename(index))
                label_map = read_label_map(path, self.num_classes)
            return make_sample(self.transform(image), target, label_map)
        except UserError as error:
            return error
        except UnreadableImage as error:
            name = self.dataset.filename(index, absolute=True)
            return UserError(f"{name}: not a readable image ({error})")

    def filename(self, index: int) -> str:
        """Return the path of an image, relative to its split."""
        return self.dataset.filename(index)

    def _read(self, index: int) -> tuple[Image.Image, int]:
        """Return an image and its class; the image is not decoded yet if the data set reads files."""
        if not hasattr(self.dataset, "reader"):  # torchvision's data sets
            return self.dataset[index]
        try:
            file, target = self.dataset.reader[index]
            with file:
                return Image.open(io.BytesIO(file.read())), target
        except Exception as error:  # Pillow raises many kinds for damaged files
            raise UnreadableImage(str(error)) from error


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
    try:
        dataset = create_dataset(
            options.dataset,
            root=options.data_dir,
            split=split,
            is_training=training,
            class_map=options.class_map or None,  # type: ignore[arg-type]
            batch_size=options.batch_size,
            seed=getattr(options, "seed", 0),
        )
    except (RuntimeError, OSError, ValueError, AssertionError, ImportError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"{options.data_dir}, split {split!r}: {reason}") from error
    if not options.dataset:
        _reject_missing_split(dataset, options.data_dir, split)
        _reject_empty_classes(dataset)
    return dataset


def _reject_missing_split(dataset: Any, data_dir: str, split: str) -> None:
    """Reject a folder without the split: timm would read all its splits as this one."""
    root = getattr(getattr(dataset, "reader", None), "root", None)
    if root is None or not os.path.isdir(data_dir) or Path(root) != Path(data_dir):
        return
    others = [name for name in SPLIT_FOLDERS if os.path.isdir(os.path.join(data_dir, name))]
    if others:
        raise UserError(f"{data_dir}: has no folder for the split {split!r}, only {', '.join(others)}")


def _reject_empty_classes(dataset: Any) -> None:
    """Reject an empty class folder: it would silently shift the indices of all later classes."""
    reader: Any = getattr(dataset, "reader", None)
    classes = getattr(reader, "class_to_idx", None)
    root = getattr(reader, "root", "")
    if not classes or not os.path.isdir(root):
        return
    used = {target for _, target in reader.samples}
    for entry in sorted(os.scandir(root), key=lambda e: e.name):
        if entry.is_dir() and classes.get(entry.name) not in used and not entry.name.startswith("."):
            has_images_below = any(name.startswith(entry.path + os.sep) for name, _ in reader.samples)
            if not has_images_below:
                raise UserError(f"{entry.path}: the class folder holds no image")


def class_names(dataset: Any) -> list[str] | None:
    """Return the class names in the order of their indices, if the data set has names."""
    reader = getattr(dataset, "reader", dataset)
    classes = getattr(reader, "class_to_idx", None)
    classes = classes or getattr(reader, "class_name_to_idx", None)  # timm's reader of tar files
    if not classes:
        return getattr(dataset, "classes", None)
    return sorted(classes, key=classes.get)
