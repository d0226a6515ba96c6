"""Panoptic images in COCO's layout, that an export is judged on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from lvt_core.errors import UserError
from lvt_core.export.gate.labelled import CALIBRATION_IMAGES, Labelled, _rgb, spread
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
from lvt_predict.panoptic import PanopticMap


@dataclass(frozen=True)
class PanopticTruth:
    """What an image truly shows, and how it lies in the network's input.

    Attributes:
        ids: ``(H, W)``, in the image's own size.
        segments: What each id is.
        extent: Height and width of the image within the network's input.
    """

    ids: np.ndarray
    segments: list[Segment]
    extent: tuple[int, int]


class PanopticImages(Labelled):
    """``{train,val}2017/*`` and ``annotations/panoptic_{train,val}2017{.json,/*.png}``, COCO's layout.

    Images that are not of the network's size are brought into it, keeping their proportions, and padded to
    the right and below, as mmdetection does.

    Args:
        root: The data set's folder.
        size: Height and width that the network takes.
        classes: Names, things before stuff.
        num_things: How many of them are things.
        pad_value: Of the normalised padding.
        options: Of `Labelled`.
    """

    metric = "PQ"

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

    def predict(self, outputs: Sequence[np.ndarray], truth: PanopticTruth) -> Any:
        """Raises: a panoptic map is made by `PanopticPipeline`, not of one network's outputs."""
        raise UserError("panoptic networks are judged whole: lvt_core.export.panoptic.write does it")

    def agreement(self, found: PanopticMap, expected: PanopticMap) -> float:
        return same_segments(found, expected)

    def score(self, predictions: Sequence[PanopticMap], truths: Sequence[PanopticTruth]) -> float:
        return score_maps(predictions, [(truth.ids, truth.segments) for truth in truths], len(self.classes))

    def _image(self, split: str, image: AnnotatedImage) -> tuple[np.ndarray, tuple[int, int]]:
        """An image as the network takes it, and its extent therein."""
        pixels = np.array(_rgb(self.root / split / image.file_name), dtype=np.float32)
        height, width = pixels.shape[:2]
        if (height, width) != (image.height, image.width):
            raise UserError(
                f"{self.root / split / image.file_name}: {width} x {height} pixels, but the annotations say "
                f"{image.width} x {image.height}"
            )
        ratio = min(self.size[0] / height, self.size[1] / width)
        extent = (min(round(height * ratio), self.size[0]), min(round(width * ratio), self.size[1]))
        if extent != (height, width):  # without smoothing and in bytes, as mmdetection resizes
            planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
            planes = F.interpolate(planes, extent, mode="bilinear", align_corners=False).round()
            pixels = planes[0].permute(1, 2, 0).numpy()
        scaled = (pixels / 255 - np.asarray(self.mean)) / np.asarray(self.std)
        padded = np.full((1, 3, *self.size), self.pad_value, np.float32)
        padded[0, :, : extent[0], : extent[1]] = scaled.transpose(2, 0, 1)
        return padded, extent

    def _training(self) -> list[tuple[str, AnnotatedImage]]:
        return self._read("train2017")

    def _read(self, split: str) -> list[tuple[str, AnnotatedImage]]:
        things = self.classes[: self.num_things]
        images = read_images(self.root / f"annotations/panoptic_{split}.json", self.classes, things)
        images = [image for image in images if image.map_name is not None]
        if not images:
            raise UserError(f"--data {self.root}: annotations/panoptic_{split}.json: no image has a map")
        if (name := missing_file(self.root / split, [image.file_name for image in images])) is not None:
            raise UserError(f"{self.root / split / name}: is not there, but the annotations name it")
        return [(split, image) for image in images]


def same_segments(found: PanopticMap, expected: PanopticMap) -> float:
    """Part of the pixels, 0..1, where two maps have the same segment: of one label, mostly on each other."""
    sides = [
        (one.ids, np.array([-1, *(segment.label for segment in one.segments)])) for one in (found, expected)
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
    """PQ in percent, the mean over classes that are there or found; 100 if there is none."""
    counts = np.zeros((num_classes, COLUMNS))
    for found, truth in zip(maps, truths, strict=True):
        counts += count_matches(*truth, found.ids, to_truth(found)[1], num_classes)
    quality = panoptic_quality(counts)["PQ"]
    return float(np.nanmean(quality)) if np.isfinite(quality).any() else 100.0


def to_truth(found: PanopticMap) -> tuple[np.ndarray, list[Segment]]:
    """A predicted map as a true one."""
    return found.ids, [Segment(segment.id, segment.label) for segment in found.segments]
