"""Intersection over union from exact counts of pixels."""

from __future__ import annotations

import numpy as np


def count_pairs(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of each pair of classes, int64 ``(num_classes, num_classes + 1)``.

    Args:
        truth: Class of each pixel; pixels outside of ``0..num_classes - 1`` do not count.
        prediction: Predicted class of each pixel, same shape; all other values share the last column.
        num_classes: Number of classes.
    """
    truth, prediction = truth.astype(np.int64).ravel(), prediction.astype(np.int64).ravel()
    counted = (truth >= 0) & (truth < num_classes)
    known = (prediction >= 0) & (prediction < num_classes)
    columns = np.where(known, prediction, num_classes)
    pairs = truth[counted] * (num_classes + 1) + columns[counted]
    return np.bincount(pairs, minlength=num_classes * (num_classes + 1)).reshape(num_classes, num_classes + 1)


def iou(counts: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of each class, 0..1; NaN for a class that never occurs.

    Args:
        counts: Sum of `count_pairs` over images.
    """
    both = np.diagonal(counts)
    union = counts.sum(axis=1) + counts[:, : len(counts)].sum(axis=0) - both
    return np.where(union > 0, both / np.maximum(union, 1), np.nan)
