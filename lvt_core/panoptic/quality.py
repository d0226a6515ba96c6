"""Panoptic quality (Kirillov et al., Panoptic Segmentation, CVPR 2019, section 4), as COCO counts it.

A map has one segment id per pixel; `VOID` pixels belong to none. Its PNG file holds the ids as
``R + 256 G + 256² B``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvt_core.errors import UserError
from lvt_predict.pictures import opened_map

VOID = 0
COLUMNS = 4  # counts have: sum of IoU, true positives, false positives, false negatives


@dataclass(frozen=True)
class Segment:
    """A segment of a map.

    Attributes:
        id: Value of the segment's pixels in the map; not `VOID`.
        label: Class, a position in the data set's classes.
        is_crowd: A group of things without separate instances; only in truth.
    """

    id: int
    label: int
    is_crowd: bool = False


def rgb_to_ids(image: np.ndarray) -> np.ndarray:
    """Colours ``(H, W, 3)`` uint8 to segment ids ``(H, W)`` int32."""
    return image.astype(np.int32) @ np.array([1, 256, 256**2], np.int32)


def ids_to_rgb(ids: np.ndarray) -> np.ndarray:
    """Segment ids ``(H, W)``, below 256³, to colours ``(H, W, 3)`` uint8."""
    return np.stack((ids % 256, ids // 256 % 256, ids // 256**2), axis=-1).astype(np.uint8)


def read_map(path: str | Path) -> np.ndarray:
    """Read a map's ids from its PNG file, int32 ``(H, W)``.

    Raises:
        UserError: The file is missing or not an RGB picture.
    """
    with opened_map(path) as opened:
        if opened.mode not in ("RGB", "RGBA"):
            raise UserError(f"is a picture of mode {opened.mode}; a map is RGB, id = R + 256 G + 256² B")
        return rgb_to_ids(np.asarray(opened)[..., :3])


def check_map(ids: np.ndarray, segments: Sequence[int], path: str | Path) -> None:
    """Reject a map whose ids are not those of its JSON entry.

    Args:
        ids: Map ``(H, W)``.
        segments: Ids in the JSON file.
        path: File of the map, for messages.

    Raises:
        UserError: Only one of the two has an id.
    """
    there, listed = set(np.unique(ids).tolist()) - {VOID}, set(segments)
    if alone := sorted(there - listed):
        raise UserError(f"{path}: has pixels of segment {alone[0]}, which its JSON entry does not list")
    if alone := sorted(listed - there):
        raise UserError(f"{path}: has no pixel of segment {alone[0]}, which its JSON entry lists")


def segment_boxes(ids: np.ndarray, segments: Sequence[int]) -> dict[int, tuple[int, int, int, int]]:
    """Return the box of each segment's pixels: left, top, width, height; segments without pixels have none.

    Args:
        ids: Map ``(H, W)``.
        segments: Ids whose boxes to find.
    """
    boxes = {}
    for segment in segments:
        mask = ids == segment
        rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
        if len(rows):
            left, top = int(columns[0]), int(rows[0])
            boxes[segment] = (left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)
    return boxes


def check_boxes(ids: np.ndarray, boxes: Mapping[int, Sequence[float]], place: str) -> None:
    """Reject a box that differs by more than a pixel from that of its segment's pixels.

    Args:
        ids: Map ``(H, W)``, which `check_map` has accepted.
        boxes: Box of each segment in the JSON file: left, top, width, height.
        place: JSON file and map, for messages.

    Raises:
        UserError: A box differs.
    """
    for segment, right in segment_boxes(ids, list(boxes)).items():
        if any(abs(a - b) > 1 for a, b in zip(boxes[segment], right, strict=True)):
            raise UserError(
                f"{place}: segment {segment} has bbox={list(boxes[segment])}, but its pixels have "
                f"{list(right)} (left, top, width, height); correct the boxes"
            )


def count_matches(
    truth: np.ndarray,
    truth_segments: Sequence[Segment],
    prediction: np.ndarray,
    predicted_segments: Sequence[Segment],
    num_classes: int,
) -> np.ndarray:
    """Count one image's part of panoptic quality.

    A predicted segment matches a true one of its class if their intersection over union is more than 0.5;
    void pixels of the truth do not count in the union. Crowds are never matched. A prediction without a
    match is not an error if more than half of it lies on void pixels or crowds of its class.

    Args:
        truth: Ids ``(H, W)``.
        truth_segments: Segments of the truth.
        prediction: Ids ``(H, W)``.
        predicted_segments: Segments of the prediction.
        num_classes: Number of classes.

    Returns:
        ``(num_classes, 4)`` float64: sum of IoU, true positives, false positives, false negatives.
    """
    true = [Segment(VOID, -1), *truth_segments]
    seen = [Segment(VOID, -1), *predicted_segments]
    rows = _positions(truth, [s.id for s in true])
    columns = _positions(prediction, [s.id for s in seen])
    overlap = np.bincount((rows * len(seen) + columns).ravel(), minlength=len(true) * len(seen))
    overlap = overlap.reshape(len(true), len(seen))  # pixels by true and predicted segment
    true_area, seen_area = overlap.sum(axis=1), overlap.sum(axis=0)
    true_label, seen_label = (np.array([s.label for s in side]) for side in (true, seen))
    crowd = np.array([s.is_crowd for s in true])

    same_class = (true_label[:, None] == seen_label) & (true_label[:, None] >= 0)
    union = true_area[:, None] + seen_area - overlap - overlap[0]
    iou = overlap / np.maximum(union, 1)
    match = same_class & ~crowd[:, None] & (iou > 0.5)

    excused = overlap[0] + (overlap * (same_class & crowd[:, None])).sum(axis=0)
    wrong = ~match.any(axis=0) & (excused <= 0.5 * seen_area) & (seen_label >= 0)
    missed = ~match.any(axis=1) & ~crowd & (true_label >= 0)

    counts = np.zeros((num_classes, COLUMNS))
    i, j = np.nonzero(match)
    np.add.at(counts[:, 0], true_label[i], iou[i, j])
    np.add.at(counts[:, 1], true_label[i], 1)
    np.add.at(counts[:, 2], seen_label[wrong], 1)
    np.add.at(counts[:, 3], true_label[missed], 1)
    return counts


def panoptic_quality(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the quality of each class from counts ``(num_classes, 4)`` that were added up over the images.

    Returns:
        ``PQ``, ``SQ`` (mean IoU of the matches) and ``RQ`` (how many match), in percent, each
        ``(num_classes,)``; not a number for a class that is neither there nor predicted.
    """
    iou, matched, wrong, missed = counts.T
    size = matched + (wrong + missed) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        pq, rq = 100 * iou / size, 100 * matched / size
        sq = np.where(matched > 0, 100 * iou / matched, 0.0)
    return {"PQ": pq, "SQ": np.where(size > 0, sq, np.nan), "RQ": rq}


def _positions(ids: np.ndarray, known: Sequence[int]) -> np.ndarray:
    """Each pixel's position in the list of known ids; unknown ids must have been rejected before."""
    order = np.argsort(known)
    return order[np.searchsorted(np.asarray(known)[order], ids)]
