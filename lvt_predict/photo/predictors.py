"""Predictors: a preparation, a network, and the meaning of its outputs become one function of a photo.

A network is a function from arrays to arrays, so the same predictors serve every runtime and PyTorch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lvt_predict.errors import UserError
from lvt_predict.images import normalize
from lvt_predict.label_map import bilinear_matrix, largest_resized, resize_matrix
from lvt_predict.panoptic import PanopticPipeline
from lvt_predict.panoptic.boxes import softmax
from lvt_predict.photo.classes import Classes
from lvt_predict.photo.prepare import Aligned, Preparation, Proportional, pad
from lvt_predict.photo.results import Classification, Panoptic, Result, Segmentation
from lvt_predict.pictures import read_picture, to_rgb

if TYPE_CHECKING:
    from PIL import Image

Network = Callable[[np.ndarray], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Predictor(ABC):
    """A network that takes photos.

    Attributes:
        classes: Meaning of the class numbers.
        prepare: Preparation of a photo.
        mean: Pixel mean in 0..1.
        std: Pixel deviation in 0..1.
        notes: Sentences that say what the network does not say of itself, and what is assumed.
        exif: Pictures were turned as their EXIF data say in the network's training.
    """

    classes: Classes
    prepare: Preparation
    mean: Sequence[float]
    std: Sequence[float]
    notes: Sequence[str]
    exif: bool = field(default=True, kw_only=True)

    def predict(self, photo: Any, *, exif: bool | None = None) -> Result:
        """Predict one photo.

        Args:
            photo: Path, open binary file, PIL image, array ``(H, W, 3)`` or ``(H, W)`` of uint8, or tensor
                ``(3, H, W)`` of uint8. Colours are RGB.
            exif: Turn a picture as its EXIF data say; ``None`` for the way of the network's training.

        Raises:
            UserError: The photo cannot be read, or the network does not support it.
        """
        (result,) = self.predict_all([photo], exif=exif)
        return result

    def predict_all(
        self, photos: Sequence[Any], *, batch_size: int = 1, exif: bool | None = None
    ) -> Iterator[Result]:
        """Predict photos in their order; neighbours of equal prepared sizes share a batch.

        Args:
            photos: Photos, as `predict` takes them.
            batch_size: Most photos of a batch.
            exif: Turn pictures as their EXIF data say; ``None`` for the way of the network's training.

        Raises:
            UserError: A photo cannot be read, or the network does not support it.
        """
        turned = self.exif if exif is None else exif
        opened = [open_photo(photo, exif=turned) for photo in photos]
        pairs = [(photo, self.prepare(photo)) for photo in opened]
        for _, group in groupby(pairs, key=lambda pair: pair[1].shape):
            same = list(group)
            for start in range(0, len(same), batch_size):
                photos_of, pixels = zip(*same[start : start + batch_size], strict=True)
                yield from self._batch([np.asarray(photo) for photo in photos_of], np.stack(pixels))

    @abstractmethod
    def _batch(self, photos: Sequence[np.ndarray], pixels: np.ndarray) -> Iterator[Result]:
        """Predict photos from their prepared bytes ``(B, H, W, 3)``."""

    @property
    @abstractmethod
    def task(self) -> str:
        """Name of the task."""


@dataclass(frozen=True)
class Classifier(Predictor):
    """A predictor of classes.

    Attributes:
        network: Function from normalised images to logits ``(B, C)``.
    """

    network: Network
    task = "classification"

    def _batch(self, photos: Sequence[np.ndarray], pixels: np.ndarray) -> Iterator[Result]:
        scores = softmax(np.asarray(self.network(normalize(pixels, self.mean, self.std))[0], np.float32))
        for photo, values in zip(photos, scores, strict=True):
            yield Classification(photo, self.classes, values)


@dataclass(frozen=True)
class Segmenter(Predictor):
    """A predictor of the class of each pixel.

    Attributes:
        network: Function from normalised images to logits ``(B, C, h, w)``, or to classes ``(B, H, W)``.
    """

    network: Network
    task = "segmentation"

    def _batch(self, photos: Sequence[np.ndarray], pixels: np.ndarray) -> Iterator[Result]:
        outputs = self.network(normalize(pixels, self.mean, self.std))[0]
        for photo, values in zip(photos, outputs, strict=True):
            size, inside = (photo.shape[0], photo.shape[1]), (pixels.shape[1], pixels.shape[2])
            yield Segmentation(photo, self.classes, self._labels(values, inside, size))

    def _labels(self, values: np.ndarray, inside: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """Return the class of each pixel of the photo.

        Args:
            values: Logits ``(C, h, w)``, or classes ``(H, W)``.
            inside: Height and width of the network's input.
            size: Height and width of the photo.
        """
        if values.ndim == 2:
            rows, columns = (np.arange(size[i]) * values.shape[i] // size[i] for i in (0, 1))
            return values[rows[:, None], columns].astype(np.int64)
        axes = zip(values.shape[1:], inside, size, strict=True)
        if isinstance(
            self.prepare, (Aligned, Proportional)
        ):  # mmsegmentation resizes logits to the input, then to the photo
            matrices = [resize_matrix(length, middle, middle, target) for length, middle, target in axes]
        else:
            matrices = [bilinear_matrix(length, target) for length, _, target in axes]
        return largest_resized(np.asarray(values, np.float32), matrices[0], matrices[1])


@dataclass(frozen=True)
class PanopticPredictor(Predictor):
    """A predictor of segments; batches are taken one photo at a time.

    Attributes:
        pipeline: Networks and the steps between them.
        size: Height and width of the input; ``None`` for any multiples of the largest stride.
    """

    pipeline: PanopticPipeline
    size: tuple[int, int] | None
    task = "panoptic"

    def _batch(self, photos: Sequence[np.ndarray], pixels: np.ndarray) -> Iterator[Result]:
        settings = self.pipeline.settings
        for photo, bytes_of in zip(photos, pixels, strict=True):
            images = pad(normalize(bytes_of[None], self.mean, self.std), self.size, settings["pad_value"])
            extent, size = (bytes_of.shape[0], bytes_of.shape[1]), (photo.shape[0], photo.shape[1])
            segments = self.pipeline(images, extent=extent, size=size)
            yield Panoptic(photo, self.classes, segments, settings["num_things"])


def open_photo(photo: Any, *, exif: bool = True) -> Image.Image:
    """Return a photo as a PIL image in RGB.

    Args:
        photo: Photo, as `Predictor.predict` takes it.
        exif: Turn a picture as its EXIF data say.

    Raises:
        UserError: The photo cannot be read, or has another type or shape.
    """
    from PIL import Image

    if isinstance(photo, (str, Path)) or hasattr(photo, "read"):
        source: str | Path | BinaryIO = photo
        return read_picture(source, exif=exif)
    if isinstance(photo, Image.Image):
        return to_rgb(photo.copy(), exif=exif)
    if hasattr(photo, "detach"):  # a tensor, channels first
        photo = photo.detach().cpu().numpy()
        photo = photo.transpose(1, 2, 0) if photo.ndim == 3 and photo.shape[0] == 3 else photo
    if not isinstance(photo, np.ndarray) or photo.dtype != np.uint8:
        kind = getattr(photo, "dtype", type(photo).__name__)
        raise UserError(f"photo: is {kind}; must be a path, a PIL image, or uint8 values from 0 to 255, RGB")
    if photo.ndim == 2:
        photo = np.repeat(photo[:, :, None], 3, axis=2)
    if photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise UserError(f"photo: has the shape {photo.shape}; must be (height, width, 3)")
    return Image.fromarray(np.ascontiguousarray(photo))
