"""Intersection over union from exact counts of pixels."""

from __future__ import annotations

import numpy as np

BAND = 1 << 22  # pixels that are counted at once, to bound the memory


def count_pairs(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of each pair of classes, int64 ``(num_classes, num_classes + 1)``.

    Args:
        truth: Class of each pixel ``(H, W)``; pixels outside of ``0..num_classes - 1`` do not count.
        prediction: Predicted class of each pixel, same shape; all other values share the last column.
        num_classes: Number of classes.
    """
    counts = np.zeros(num_classes * (num_classes + 1), np.int64)
    rows = max(1, BAND // max(1, truth.shape[-1]))
    for top in range(0, len(truth), rows):
        pairs = _pairs(truth[top : top + rows], prediction[top : top + rows], num_classes)
        counts += np.bincount(pairs, minlength=len(counts))
    return counts.reshape(num_classes, num_classes + 1)


def areas(counts: np.ndarray) -> np.ndarray:
    """Sum counts up by class, int64 ``(4, num_classes)``: intersection, union, prediction, truth."""
    both = np.diagonal(counts)
    predicted, true = counts[:, : len(counts)].sum(axis=0), counts.sum(axis=1)
    return np.stack((both, predicted + true - both, predicted, true))


def iou(counts: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of each class, 0..1; NaN for a class that never occurs.

    Args:
        counts: Sum of `count_pairs` over images.
    """
    both, union, _, _ = areas(counts)
    return np.where(union > 0, both / np.maximum(union, 1), np.nan)


def _pairs(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    truth, prediction = truth.astype(np.int64).ravel(), prediction.astype(np.int64).ravel()
    counted = (truth >= 0) & (truth < num_classes)
    known = (prediction >= 0) & (prediction < num_classes)
    return (truth * (num_classes + 1) + np.where(known, prediction, num_classes))[counted]
