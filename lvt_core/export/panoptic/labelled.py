"""Panoptic images in COCO's layout, which calibrate and judge an export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvt_core.errors import UserError
from lvt_core.export.gate.labelled import CALIBRATION_IMAGES, LabelledImages, spread
from lvt_core.panoptic.annotations import AnnotatedImage, missing_file, read_images
from lvt_core.panoptic.quality import (
    COLUMNS,
    VOID,
    Segment,
    check_map,
    count_matches,
    panoptic_quality,
    read_map,
)
from lvt_predict.images import normalize
from lvt_predict.panoptic import PanopticMap
from lvt_predict.photo.prepare import Inside, pad
from lvt_predict.pictures import read_picture


@dataclass(frozen=True)
class PanopticTruth:
    """The truth about an image, and its place in the network's input.

    Attributes:
        ids: Segment ids ``(H, W)``, in the image's own size.
        segments: Segment of each id.
        extent: Height and width of the image within the network's input.
    """

    ids: np.ndarray
    segments: list[Segment]
    extent: tuple[int, int]


class PanopticImages(LabelledImages):
    """``{train,val}2017/*`` and ``annotations/panoptic_{train,val}2017{.json,/*.png}``, COCO's layout.

    Images of another size than the network's are resized in proportion and padded to the right and below,
    as in mmdetection.

    Args:
        root: The data set's folder.
        size: Height and width that the network takes.
        classes: Names, things before stuff.
        num_things: Number of things among them.
        pad_value: Value of the normalised padding.
        options: Options of `LabelledImages`.
    """

    def __init__(
        self,
        root: Path,
        size: tuple[int, int],
        *,
        classes: Sequence[str],
        num_things: int,
        pad_value: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(root, size, **options)
        self.classes, self.num_things, self.pad_value = tuple(classes), num_things, pad_value
        self._judging = self._read("val2017")

    def calibration(self) -> list[np.ndarray]:
        images = self._training()
        return [self._image(*images[i])[0] for i in spread(len(images), CALIBRATION_IMAGES)]

    def __iter__(self) -> Iterator[tuple[np.ndarray, PanopticTruth]]:
        for index in spread(len(self._judging), self.limit):
            split, image = self._judging[index]
            path = self.root / "annotations" / f"panoptic_{split}" / str(image.map_name)
            ids = read_map(path)
            check_map(ids, [segment.id for segment in image.segments], path)
            pixels, extent = self._image(split, image)
            yield pixels, PanopticTruth(ids, list(image.segments), extent)

    def _image(self, split: str, image: AnnotatedImage) -> tuple[np.ndarray, tuple[int, int]]:
        """Return an image as the network's input, and its extent in it."""
        photo = read_picture(self.root / split / image.file_name)
        if photo.size != (image.width, image.height):
            raise UserError(
                f"{self.root / split / image.file_name}: {photo.width} x {photo.height} pixels, but the "
                f"annotations say {image.width} x {image.height}"
            )
        pixels = Inside(self.size)(photo)
        extent = (pixels.shape[0], pixels.shape[1])
        return pad(normalize(pixels[None], self.mean, self.std), self.size, self.pad_value), extent

    def _training(self) -> list[tuple[str, AnnotatedImage]]:
        return self._read("train2017")

    def _read(self, split: str) -> list[tuple[str, AnnotatedImage]]:
        things = self.classes[: self.num_things]
        images = read_images(self.root / f"annotations/panoptic_{split}.json", self.classes, things)
        images = [image for image in images if image.map_name is not None]
        if not images:
            raise UserError(f"--data {self.root}: annotations/panoptic_{split}.json: no image has a map")
        if (name := missing_file(self.root / split, [image.file_name for image in images])) is not None:
            raise UserError(f"{self.root / split / name}: is missing, but the annotations name it")
        return [(split, image) for image in images]


def same_segments(prediction: PanopticMap, expected: PanopticMap) -> float:
    """Return the share of pixels where two maps have the same segment: one label, IoU above a half."""
    sides = [
        (one.ids, np.array([-1, *(segment.label for segment in one.segments)]))
        for one in (prediction, expected)
    ]
    (rows, row_labels), (columns, column_labels) = sides  # ids are positions: void, then 1, 2, …
    pixels = np.bincount(
        (rows.astype(np.int64) * len(column_labels) + columns).ravel(),
        minlength=len(row_labels) * len(column_labels),
    ).reshape(len(row_labels), len(column_labels))
    union = pixels.sum(axis=1, keepdims=True) + pixels.sum(axis=0) - pixels
    same = (row_labels[:, None] == column_labels) & (2 * pixels > union)
    same[VOID, VOID] = True
    return float(pixels[same].sum() / pixels.sum())


def score_maps(
    maps: Sequence[PanopticMap], truths: Sequence[tuple[np.ndarray, Sequence[Segment]]], num_classes: int
) -> float:
    """Compute PQ in percent, the mean over classes that occur or are predicted; 100 without any."""
    counts = np.zeros((num_classes, COLUMNS))
    for prediction, truth in zip(maps, truths, strict=True):
        counts += count_matches(*truth, prediction.ids, to_truth(prediction)[1], num_classes)
    quality = panoptic_quality(counts)["PQ"]
    return float(np.nanmean(quality)) if np.isfinite(quality).any() else 100.0


def to_truth(prediction: PanopticMap) -> tuple[np.ndarray, list[Segment]]:
    """Turn a predicted map into the form of a true one."""
    return prediction.ids, [Segment(segment.id, segment.label) for segment in prediction.segments]
