"""Boxes of two-stage detectors in numpy: anchors, deltas, suppression, RoIAlign, masks.

All values are float32 and computed in mmdetection's order, so that the decisions are the same.

Legend: K boxes ``(K, 4)``: left, top, right, bottom in pixels. C channels, H W map, S bins of a RoI per axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BLOCK = 256  # boxes that are compared with all others at a time
MAX_LOG_RATIO = abs(np.log(np.float32(16 / 1000)))  # limit of the logarithm of a side's change


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Compute ``1 / (1 + exp(-x))``."""
    with np.errstate(over="ignore"):  # exp of more than 88 is infinite, and the quotient 0
        return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    """Compute the softmax along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def grid_anchors(base: np.ndarray, stride: Sequence[int], height: int, width: int) -> np.ndarray:
    """Make the anchors of a level ``(H * W * A, 4)``, ordered by row, column and shape.

    Args:
        base: Anchors at the origin ``(A, 4)``.
        stride: Pixels from one cell to the next, to the right and down.
        height: Cells of a column.
        width: Cells of a row.
    """
    y, x = np.mgrid[:height, :width].astype(np.float32)
    origins = np.stack((x * stride[0], y * stride[1]) * 2, axis=-1)  # (H, W, 4)
    return (origins.reshape(-1, 1, 4) + base).reshape(-1, 4)


def decode(
    boxes: np.ndarray,
    deltas: np.ndarray,
    *,
    means: Sequence[float],
    stds: Sequence[float],
    size: tuple[int, int],
) -> np.ndarray:
    """Move and stretch boxes ``(K, 4)`` by deltas ``(K, 4)``, and clip them to the image.

    Args:
        boxes: Boxes before the change.
        deltas: Shifts in parts of the box, and logarithms of factors, both normalised.
        means: Mean of the deltas.
        stds: Standard deviation of the deltas.
        size: The image's height and width.
    """
    deltas = deltas * np.asarray(stds, np.float32) + np.asarray(means, np.float32)
    centre, extent = (boxes[:, :2] + boxes[:, 2:]) * np.float32(0.5), boxes[:, 2:] - boxes[:, :2]
    centre = centre + extent * deltas[:, :2]
    half = extent * np.exp(np.clip(deltas[:, 2:], -MAX_LOG_RATIO, MAX_LOG_RATIO)) * np.float32(0.5)
    moved = np.concatenate((centre - half, centre + half), axis=1)
    return np.clip(moved, 0, np.array([size[1], size[0]] * 2, np.float32))


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float, limit: int | None = None) -> np.ndarray:
    """Suppress boxes that a better box overlaps; return the positions of the others, best first.

    Args:
        boxes: ``(K, 4)``.
        scores: ``(K,)``; of equal ones the first is better.
        threshold: Largest intersection over union that is kept.
        limit: Most positions to return.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, free = boxes[order], np.ones(len(order), dtype=bool)
    kept: list[int] = []
    for start in range(0, len(order), BLOCK):
        rows = start + np.flatnonzero(free[start : start + BLOCK])
        apart = ~(_overlaps(boxes[rows], boxes[start:]) > np.float64(threshold))
        for row, others in zip(rows, apart, strict=True):
            if free[row]:
                kept.append(order[row])
                if len(kept) == limit:
                    return np.array(kept, dtype=np.int64)
                free[start:] &= others
    return np.array(kept, dtype=np.int64)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of all pairs; NaN for two boxes without area."""
    left, top, right, bottom = boxes.T[:, :, None]
    lefts, tops, rights, bottoms = others.T[:, None]
    both = np.maximum(np.minimum(right, rights) - np.maximum(left, lefts), 0)
    both *= np.maximum(np.minimum(bottom, bottoms) - np.maximum(top, tops), 0)
    union = (right - left) * (bottom - top) + (rights - lefts) * (bottoms - tops) - both
    with np.errstate(invalid="ignore"):
        return both / union


def suppress_groups(
    boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, threshold: float, limit: int
) -> np.ndarray:
    """Apply `suppress` within each group; return the positions of the best `limit` boxes, best first."""
    if not len(boxes):
        return np.zeros(0, np.int64)
    # mmdetection moves the groups apart; the rounding there is a part of its decisions.
    apart = boxes + (groups.astype(np.float32) * (boxes.max() + np.float32(1)))[:, None]
    kept = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        kept.append(members[suppress(apart[members], scores[members], threshold, limit)])
    positions = np.sort(np.concatenate(kept))
    return positions[np.argsort(-scores[positions], kind="stable")[:limit]]


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the best `count` scores, best first; if all are taken, in their order."""
    if count <= 0 or len(scores) <= count:
        return np.arange(len(scores))
    lowest = np.partition(scores, len(scores) - count)[len(scores) - count]
    candidates = np.flatnonzero(scores >= lowest)
    return candidates[np.argsort(-scores[candidates], kind="stable")[:count]]


def roi_levels(boxes: np.ndarray, count: int, finest: float) -> np.ndarray:
    """Choose the map that each box takes its features from, by the size of the box ``(K,)``.

    Args:
        boxes: ``(K, 4)``.
        count: Number of maps, finest first.
        finest: Boxes smaller than twice this side belong to the finest map.
    """
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    levels = np.floor(np.log2(sides / np.float32(finest) + np.float32(1e-6)))
    return np.clip(levels, 0, count - 1).astype(np.int64)


def roi_align(features: np.ndarray, boxes: np.ndarray, size: int, scale: float, ratio: int) -> np.ndarray:
    """Average features in the bins of each box: RoIAlign (Mask R-CNN, section 3), ``(K, C, S, S)``.

    A pixel's value lies at its centre. The samples of a bin form a grid, and interpolation is linear along
    each axis. So two small matrices per box do all of it, one for rows and one for columns.

    Args:
        features: Map ``(C, H, W)``.
        boxes: ``(K, 4)``.
        size: Bins per axis, S.
        scale: Pixels of the map per pixel of the image.
        ratio: Samples per bin and axis; 0 for one per pixel that the bin covers.
    """
    C, H, W = features.shape
    bins = np.zeros((len(boxes), size, size, C), np.float32)
    pixels = np.ascontiguousarray(features.transpose(1, 2, 0))  # (H, W, C): products of few, large matrices
    corners = boxes * np.float32(scale) - np.float32(0.5)
    for out, (left, top, right, bottom) in zip(bins, corners, strict=True):
        first_row, rows = _bin_matrix(top, bottom, size, H, ratio)  # (S, h)
        first_column, columns = _bin_matrix(left, right, size, W, ratio)  # (S, w)
        h, w = rows.shape[1], columns.shape[1]
        window = pixels[first_row : first_row + h, first_column : first_column + w].reshape(h, w * C)
        np.matmul(columns, (rows @ window).reshape(size, w, C), out=out)  # (S, w, C), then (S, S, C)
    return bins.transpose(0, 3, 1, 2)


def _bin_matrix(
    start: np.float32, stop: np.float32, size: int, length: int, ratio: int
) -> tuple[int, np.ndarray]:
    """Write the mean of each bin's samples along an axis as a matrix on a range of its pixels.

    Args:
        start: Start of the first bin, on the map.
        stop: End of the last bin.
        size: Number of bins.
        length: Pixels of the axis.
        ratio: Samples per bin; 0 for one per pixel that it covers.

    Returns:
        First pixel of the range, and the matrix (bins, pixels).
    """
    step = (stop - start) / np.float32(size)
    count = ratio if ratio > 0 else int(np.ceil(step))
    if count < 1:
        return 0, np.zeros((size, 1), np.float32)
    within = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * step / np.float32(count)
    samples = start + np.arange(size, dtype=np.float32)[:, None] * step + within  # (bins, count)
    counts = (samples >= -1) & (samples <= length)  # samples farther out are zero
    samples = np.clip(samples, 0, length - 1)
    first = int(samples[0, 0])
    pixels = np.arange(first, min(int(samples[-1, -1]) + 2, length), dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(samples[..., None] - pixels)) * counts[..., None]
    return first, weights.sum(axis=1) / np.float32(count)


def paste(mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice, np.ndarray]:
    """Stretch a mask over its box.

    Args:
        mask: Mask ``(M, M)`` of any type.
        box: Box ``(4,)``.
        size: The image's height and width.

    Returns:
        Rows and columns of the image around the box, and the mask in them, which fades to 0 at the border.
    """
    left, top = (max(int(np.floor(v)) - 1, 0) for v in box[:2])
    right, bottom = (min(int(np.ceil(v)) + 1, end) for v, end in zip(box[2:], size[::-1], strict=True))
    rows = _stretch_matrix(top, bottom, box[1], box[3], mask.shape[0])
    columns = _stretch_matrix(left, right, box[0], box[2], mask.shape[1])
    return slice(top, bottom), slice(left, right), rows @ mask @ columns.T


def _stretch_matrix(first: int, last: int, start: np.float32, stop: np.float32, size: int) -> np.ndarray:
    """Interpolate `size` cells between `start` and `stop` linearly at the pixels first … last - 1."""
    pixels = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        place = (pixels - start) / (stop - start) * 2 - 1
    place[np.isinf(place)] = 0  # a box without extent takes the middle of its mask
    cells = ((place + 1) * np.float32(size) - 1) / 2
    return np.fmax(0, 1 - np.abs(cells[:, None] - np.arange(size, dtype=np.float32)))
