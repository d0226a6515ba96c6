"""Labelled images that calibrate and judge an export.

A set is a folder in the layout of its task's recipe. Its training images calibrate, its validation images
judge, all at the size of the export. Choices before the gate use other training images (`held_out`).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from PIL import Image
from timm.data.readers.reader_image_folder import find_images_and_targets
from torch.nn import functional as F

from lvt_core.checkpoint.class_names import imagenet_names, match_classes
from lvt_core.errors import UserError
from lvt_core.semantic.iou import count_pairs, iou
from lvt_core.semantic.label_map import IGNORED, MAX_CLASSES, MaskValues, read_label_map
from lvt_core.semantic.resized import Resizing, label_map
from lvt_predict.images import normalize
from lvt_predict.photo.prepare import CROP_PCT, Crop, Stretch, fill_of
from lvt_predict.pictures import SUFFIXES, read_picture

CALIBRATION_IMAGES = 128


Images = TypeVar("Images", bound="LabelledImages")


class LabelledImages(ABC):
    """Images with their truth, for one task.

    Args:
        root: The data set's folder.
        size: Height and width that the network takes.
        mean: Pixel mean in 0..1.
        std: Pixel deviation in 0..1.
        limit: Most images to judge on, spread over the set.

    Raises:
        UserError: The folder does not have the layout.
    """

    _judging: list[Any]  # validation images, or those that `held_out` chose

    def __init__(
        self,
        root: Path,
        size: tuple[int, int],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        limit: int | None = None,
    ) -> None:
        self.root, self.size, self.mean, self.std, self.limit = root, size, mean, std, limit

    @abstractmethod
    def calibration(self) -> list[np.ndarray]:
        """Return training images, normalised, ``(1, 3, H, W)`` float32 each, spread over the set."""

    @abstractmethod
    def __iter__(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield validation images ``(1, 3, H, W)`` with their truth."""

    @abstractmethod
    def _training(self) -> list[Any]:
        """List all training images."""

    def held_out(self: Images, count: int) -> Images:
        """Return a copy of the set that yields training images that do not calibrate, at most `count`.

        Raises:
            UserError: All training images calibrate.
        """
        training = self._training()
        used = set(spread(len(training), CALIBRATION_IMAGES))
        rest = [image for i, image in enumerate(training) if i not in used]
        if not rest:
            raise UserError(
                f"--data {self.root}: all of its {len(training)} training images calibrate; add more"
            )
        other = copy.copy(self)
        other._judging = [rest[i] for i in spread(len(rest), count)]
        return other


class JudgedImages(LabelledImages):
    """Labelled images of a task that the outputs of one network solve."""

    metric: ClassVar[str]

    @abstractmethod
    def predict(self, outputs: Sequence[np.ndarray], truth: Any) -> Any:
        """Turn the network's outputs for one image into a prediction; only the truth's size is used."""

    @abstractmethod
    def agreement(self, prediction: Any, expected: Any) -> float:
        """Return the share of a prediction that is as expected, 0..1."""

    @abstractmethod
    def score(self, predictions: Sequence[Any], truths: Sequence[Any]) -> float:
        """Compute `metric` in percent."""


class ClassifiedImages(JudgedImages):
    """``train/CLASS/*`` and ``val/CLASS/*``, as `lvt_classify` reads them.

    Args:
        root: The data set's folder.
        size: Height and width that the network takes.
        num_classes: Number of classes.
        class_to_idx: Names of the classes with their indices, if known; else there must be as many folders.
        crop_pct: Part of the image, by its side, that the crop keeps.
        interpolation: Resampling.
        crop_mode: How the crop keeps the image's proportions, out of `CROP_MODES`.
        exif: Turn images as their EXIF data say.
        options: Options of `LabelledImages`.

    Raises:
        UserError: The folder does not have the layout, or has other classes.
    """

    metric = "top-1"

    def __init__(
        self,
        root: Path,
        size: tuple[int, int],
        *,
        num_classes: int,
        class_to_idx: Mapping[str, int] | None = None,
        crop_pct: float = CROP_PCT,
        interpolation: str = "bicubic",
        crop_mode: str = "center",
        exif: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(root, size, **options)
        self.num_classes, self.class_to_idx, self.exif = num_classes, class_to_idx, exif
        self.prepare = Crop(size, crop_pct, interpolation, crop_mode, fill_of(self.mean))
        self._judging = self._folder("val")

    def calibration(self) -> list[np.ndarray]:
        files = self._training()
        return [self._image(files[i][0]) for i in spread(len(files), CALIBRATION_IMAGES)]

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        for index in spread(len(self._judging), self.limit):
            path, label = self._judging[index]
            yield self._image(path), label

    def _training(self) -> list[tuple[str, int]]:
        return self._folder("train")

    def predict(self, outputs: Sequence[np.ndarray], truth: int) -> int:
        return int(outputs[0].argmax())

    def agreement(self, prediction: int, expected: int) -> float:
        return float(prediction == expected)

    def score(self, predictions: Sequence[int], truths: Sequence[int]) -> float:
        return 100 * float(np.mean(np.equal(predictions, truths)))

    def _image(self, path: str) -> np.ndarray:
        return normalize(self.prepare(read_picture(path, exif=self.exif))[None], self.mean, self.std)

    def _folder(self, split: str) -> list[tuple[str, int]]:
        """List the images of a split, each with its class's index in the network."""
        root = self.root / split
        images, names = find_images_and_targets(str(root), types=SUFFIXES) if root.is_dir() else ([], {})
        if not images or "" in names:  # an image of the split's own folder has no class
            raise UserError(f"--data {self.root}: {split}/ must have one folder of images per class")
        indices = match_classes(
            names,
            self.class_to_idx or imagenet_names(names, self.num_classes),
            num_classes=self.num_classes,
            data=f"--data {self.root}: {split}/",
            model="the network",
            remedy="name the folders as the network's classes",
        )
        moves = {names[name]: index for name, index in indices.items()}
        return [(file, moves[target]) for file, target in images]


class LabelMaps(JudgedImages):
    """``images/{training,validation}/*`` and ``annotations/…/*.png``, ADE20K's layout.

    Images are resized to the network's size, logits to that of the truth. The value of a map's pixel is its
    class, counted from `first_class` or listed; 255 is not judged, nor is 0 if classes begin at 1.

    Args:
        root: The data set's folder.
        size: Height and width that the network takes.
        num_classes: Number of the network's classes.
        first_class: Value of the first class in the maps, 0 or 1.
        mask_values: Value of each class in the maps, instead of those counted from `first_class`.
        options: Options of `LabelledImages`.

    Raises:
        UserError: The folder does not have the layout, or there are too many classes for 8 bits.
    """

    metric = "mIoU"

    def __init__(
        self,
        root: Path,
        size: tuple[int, int],
        *,
        num_classes: int,
        first_class: int = 1,
        mask_values: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, size, **options)
        if num_classes > MAX_CLASSES:
            raise UserError(
                f"--data {root}: label maps support {MAX_CLASSES} classes, the network has {num_classes}"
            )
        self.num_classes = num_classes
        self.meaning = (
            MaskValues.listed(mask_values) if mask_values else MaskValues.counted(num_classes, first_class)
        )
        self._judging = self._files("validation")

    def calibration(self) -> list[np.ndarray]:
        files = self._training()
        return [self._prepared(read_picture(files[i])) for i in spread(len(files), CALIBRATION_IMAGES)]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for index in spread(len(self._judging), self.limit):
            file = self._judging[index]
            image = read_picture(file)
            truth = read_label_map(
                self.root / "annotations" / file.parent.name / f"{file.stem}.png",
                size=(image.height, image.width),
                meaning=self.meaning,
            )
            yield self._prepared(image), truth

    def _training(self) -> list[Path]:
        return self._files("training")

    def predict(self, outputs: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
        output = torch.from_numpy(outputs[0])
        if output.ndim == 3:  # classes: the graph has the argmax
            labels = F.interpolate(output[:, None].float(), truth.shape, mode="nearest")[:, 0]
            return labels[0].to(torch.uint8).numpy()
        return label_map(output, Resizing(truth.shape))[0].to(torch.uint8).numpy()

    def agreement(self, prediction: np.ndarray, expected: np.ndarray) -> float:
        return float((prediction == expected).mean())

    def score(self, predictions: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
        pairs = zip(truths, predictions, strict=True)
        counts: Any = sum(count_pairs(truth, prediction, self.num_classes) for truth, prediction in pairs)
        if not np.any(counts):
            raise UserError(f"--data {self.root}: no pixel of its label maps counts, all are 0 or {IGNORED}")
        return 100 * float(np.nanmean(iou(counts)))

    def _prepared(self, image: Image.Image) -> np.ndarray:
        return normalize(Stretch(self.size)(image)[None], self.mean, self.std)

    def _files(self, split: str) -> list[Path]:
        folder = self.root / "images" / split
        files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise UserError(
                f"--data {self.root}: images/{split}/ must contain images ({', '.join(SUFFIXES)})"
            )
        return files


LABELLED: dict[str, Callable[..., JudgedImages]] = {
    "lvt_cls": ClassifiedImages,
    "lvt_pooled": ClassifiedImages,
    "segformer": LabelMaps,
}


def first_images(data: LabelledImages, count: int) -> list[np.ndarray]:
    """Return the first images of the set that judges."""
    return [image for image, _ in islice(data, count)]


def spread(count: int, limit: int | None) -> list[int]:
    """Choose at most `limit` of `count` positions, at even distances."""
    if limit is None or count <= limit:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, limit).round()]
