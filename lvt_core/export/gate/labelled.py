"""Labelled images that an export is judged on: what is read, what is predicted, what it scores.

A set is a folder in the layout of its task's recipe. Its training images calibrate, its validation images
judge; both at the one size of the export. What is chosen before, is chosen by other training images
(`Labelled.held_out`).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform
from timm.utils import natural_key
from torch.nn import functional as F
from torchvision.datasets import ImageFolder

from lvt_core.errors import UserError
from lvt_core.export.gate.label_map import IGNORED, MAX_CLASSES, read_label_map

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
CALIBRATION_IMAGES = 128


class Labelled(ABC):
    """Images with their truth, for one task.

    Args:
        root: The data set's folder.
        size: Height and width that the network takes.
        mean: Pixel mean in 0..1.
        std: Pixel deviation in 0..1.
        limit: Judge on this many images at most, spread over the set.

    Raises:
        UserError: The folder does not have the layout.
    """

    metric: ClassVar[str]
    _judging: list[Any]  # of the validation images, or what `held_out` chose

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
        """Training images, normalised, ``(1, 3, H, W)`` float32 each, spread over the set."""

    @abstractmethod
    def __iter__(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Validation images ``(1, 3, H, W)`` with their truth."""

    @abstractmethod
    def _training(self) -> list[Any]:
        """What calibrates, and more of the same."""

    def held_out(self, count: int) -> Labelled:
        """The same set, but giving training images that do not calibrate, at most `count`, evenly.

        Raises:
            UserError: All of them calibrate.
        """
        training = self._training()
        used = set(spread(len(training), CALIBRATION_IMAGES))
        rest = [image for i, image in enumerate(training) if i not in used]
        if not rest:
            raise UserError(f"--data {self.root}: its {len(training)} training images all calibrate")
        other = copy.copy(self)
        other._judging = [rest[i] for i in spread(len(rest), count)]
        return other

    @abstractmethod
    def predict(self, outputs: Sequence[np.ndarray], truth: Any) -> Any:
        """The network's outputs for one image to what is judged; of the truth only its size is used."""

    @abstractmethod
    def agreement(self, found: Any, expected: Any) -> float:
        """Part of a prediction that is as expected, 0..1."""

    @abstractmethod
    def score(self, predictions: Sequence[Any], truths: Sequence[Any]) -> float:
        """`metric` in percent."""


class ClassFolders(ImageFolder):
    """A folder of images a class, numbered in the order that `classification/` trains them in."""

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        names = sorted(super().find_classes(directory)[0], key=natural_key)
        return names, {name: i for i, name in enumerate(names)}


class ClassifiedImages(Labelled):
    """``train/CLASS/*`` and ``val/CLASS/*``, as `classification/` reads them.

    Args:
        root: The data set's folder.
        size: Height and width that the network takes.
        num_classes: Of the network; so many folders there must be.
        classes: Their names, if they are known; those of the folders must be the same.
        crop_pct: Part of the image, by its side, that the crop keeps.
        options: Of `Labelled`.

    Raises:
        UserError: The folder does not have the layout, or other classes.
    """

    metric = "top-1"

    def __init__(
        self,
        root: Path,
        size: tuple[int, int],
        *,
        num_classes: int,
        classes: Sequence[str] | None = None,
        crop_pct: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, size, **options)
        self.num_classes, self.classes = num_classes, classes
        self.transform = create_transform(
            (3, *size),
            is_training=False,
            interpolation="bicubic",
            mean=tuple(self.mean),
            std=tuple(self.std),
            crop_pct=crop_pct,
        )
        self._judging = self._folder("val").samples

    def calibration(self) -> list[np.ndarray]:
        files = self._training()
        return [self._image(files[i][0]) for i in spread(len(files), CALIBRATION_IMAGES)]

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        for index in spread(len(self._judging), self.limit):
            path, label = self._judging[index]
            yield self._image(path), label

    def _training(self) -> list[tuple[str, int]]:
        return self._folder("train").samples

    def predict(self, outputs: Sequence[np.ndarray], truth: int) -> int:
        return int(outputs[0].argmax())

    def agreement(self, found: int, expected: int) -> float:
        return float(found == expected)

    def score(self, predictions: Sequence[int], truths: Sequence[int]) -> float:
        return 100 * float(np.mean(np.equal(predictions, truths)))

    def _image(self, path: str) -> np.ndarray:
        return np.asarray(self.transform(_rgb(Path(path))))[None]

    def _folder(self, split: str) -> ImageFolder:
        try:
            found = ClassFolders(str(self.root / split))
        except OSError as error:  # there is no such folder, or it is a file
            raise UserError(f"--data {self.root}: {split}/ must have a folder of images a class") from error
        if len(found.classes) != self.num_classes:
            raise UserError(
                f"--data {self.root}: {split}/ has {len(found.classes)} classes, "
                f"the network {self.num_classes}"
            )
        for name, ours in zip(found.classes, self.classes or found.classes, strict=True):
            if name != ours:
                raise UserError(
                    f"--data {self.root}: {split}/ has the class {name!r} where the network has {ours!r}"
                )
        return found


class LabelMaps(Labelled):
    """``images/{training,validation}/*`` and ``annotations/…/*.png``, ADE20K's layout.

    Images are brought to the network's size; logits, to that of the truth. A map's pixel holds its class,
    from `first_class` on; 255 is not judged, nor 0 where classes begin at 1.

    Args:
        root: The data set's folder.
        size: Height and width that the network takes.
        num_classes: Of the network.
        first_class: Number of the first class in the maps, 0 or 1.
        options: Of `Labelled`.

    Raises:
        UserError: The folder does not have the layout, or there are more classes than 8 bits hold.
    """

    metric = "mIoU"

    def __init__(
        self, root: Path, size: tuple[int, int], *, num_classes: int, first_class: int = 1, **options: Any
    ) -> None:
        super().__init__(root, size, **options)
        if num_classes > MAX_CLASSES:
            raise UserError(
                f"--data {root}: label maps hold at most {MAX_CLASSES} classes, the network has {num_classes}"
            )
        self.num_classes, self.first_class = num_classes, first_class
        self._judging = self._files("validation")

    def calibration(self) -> list[np.ndarray]:
        files = self._training()
        return [self._prepared(_rgb(files[i])) for i in spread(len(files), CALIBRATION_IMAGES)]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for index in spread(len(self._judging), self.limit):
            file = self._judging[index]
            image = _rgb(file)
            truth = read_label_map(
                self.root / "annotations" / file.parent.name / f"{file.stem}.png",
                size=(image.height, image.width),
                num_classes=self.num_classes,
                first_class=self.first_class,
            )
            yield self._prepared(image), truth

    def _training(self) -> list[Path]:
        return self._files("training")

    def predict(self, outputs: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
        found = torch.from_numpy(outputs[0])
        if found.ndim == 3:  # classes, decided in the graph
            found = F.interpolate(found[:, None].float(), truth.shape, mode="nearest")[:, 0]
            return found[0].to(torch.uint8).numpy()
        logits = F.interpolate(found, truth.shape, mode="bilinear", align_corners=False)
        return logits[0].argmax(dim=0).to(torch.uint8).numpy()

    def agreement(self, found: np.ndarray, expected: np.ndarray) -> float:
        return float((found == expected).mean())

    def score(self, predictions: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
        counts = np.zeros((IGNORED + 1, IGNORED + 1), dtype=np.int64)  # (truth, prediction)
        for found, truth in zip(predictions, truths, strict=True):
            pairs = truth.astype(np.int64).ravel() * (IGNORED + 1) + found.ravel()
            counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
        counts = counts[:IGNORED]
        if not counts.any():
            raise UserError(f"--data {self.root}: no pixel of its label maps counts, all are 0 or {IGNORED}")
        both = np.diag(counts[:, :IGNORED])
        union = counts.sum(axis=1) + counts[:, :IGNORED].sum(axis=0) - both
        return 100 * float((both[union > 0] / union[union > 0]).mean())

    def _prepared(self, image: Image.Image) -> np.ndarray:
        height, width = self.size
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
        scaled = (pixels / 255 - np.asarray(self.mean)) / np.asarray(self.std)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32)

    def _files(self, split: str) -> list[Path]:
        folder = self.root / "images" / split
        files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise UserError(f"--data {self.root}: images/{split}/ must have images")
        return files


LABELLED: dict[str, Callable[..., Labelled]] = {"lvt_cls": ClassifiedImages, "segformer": LabelMaps}


def first_images(data: Labelled, count: int) -> list[np.ndarray]:
    """Images of the set that judges."""
    return [image for image, _ in islice(data, count)]


def _rgb(path: Path) -> Image.Image:
    try:
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise UserError(f"{path}: is no image that can be read ({error})") from error


def spread(count: int, limit: int | None) -> list[int]:
    """At most `limit` of `count` positions, evenly."""
    if limit is None or count <= limit:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, limit).round()]
