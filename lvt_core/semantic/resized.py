"""Label maps of logits: bilinear resizing and argmax, on a CPU without resizing every class.

`lvt_predict.label_map` finds the winners. PyTorch's kernels have equal weights, but their roundings depend on
the memory layout, the number of channels and the size. So a pixel whose largest values are closer than
rounding can explain is decided by the kernel itself, on the classes that are so close.

Legend: B images, C classes, H W logits, h w pixels, K logits of a window along an axis, n pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lvt_predict.label_map import HUGE, MARGIN, SMALLEST, Axis, decide_by_cells

WHOLE = slice(None)
LANES = 16  # most channels that a kernel works on at once; those of a last, smaller group round differently
BAND_ROWS = 8  # a band costs as much as this many rows of logits
WIDE = 256  # PyTorch has other kernels for small results, and a band is small
MOST_CLOSE = 4096  # close pixels that are looked at one by one
ROUNDING = 2.0**-24  # largest relative error of one operation; a step has 5 in a row


@dataclass(frozen=True)
class Resizing:
    """A bilinear resizing of logits in one or two steps, with ``align_corners=False``.

    Attributes:
        size: Height and width of the result.
        padded: Height and width after the first of two steps; ``None`` for one step.
        cut: Rows and columns of the first step's result that are kept.
    """

    size: tuple[int, int]
    padded: tuple[int, int] | None = None
    cut: tuple[slice, slice] = (WHOLE, WHOLE)

    def __call__(self, logits: Tensor) -> Tensor:
        """Resize logits ``(B, C, H, W)``."""
        if self.padded is not None:
            logits = _bilinear(logits, self.padded)[:, :, self.cut[0], self.cut[1]]
        return _bilinear(logits, self.size)

    def exact_ratio(self, height: int) -> int:
        """Return the ratio of heights if every row can be resized in a band of its neighbours, else 0.

        The weights of one step by a power of two have no rounding errors, so they repeat.

        Args:
            height: Height of the logits.
        """
        ratio = self.size[0] // height
        exact = self.padded is None and ratio * height == self.size[0] and ratio.bit_count() == 1
        return ratio if exact and self.size[1] >= WIDE else 0

    def matrix(self, axis: int, size: int) -> np.ndarray:
        """Make the matrix ``(pixels, logits)`` of one axis, float64.

        Args:
            axis: 0 for the height, 1 for the width.
            size: Number of logits.
        """
        if self.padded is None:
            return _matrix(size, self.size[axis])
        first = _matrix(size, self.padded[axis])[self.cut[axis]]
        return _matrix(len(first), self.size[axis]) @ first


def label_map(logits: Tensor, resizing: Resizing) -> Tensor:
    """Return the class of each pixel ``(B, h, w)``, equal to ``resizing(logits).argmax(dim=1)``.

    A GPU, another type than float32, and logits that are not finite take that way itself.

    Args:
        logits: ``(B, C, H, W)``.
        resizing: Resizing of the logits to the image.
    """
    if logits.device.type != "cpu" or logits.dtype != torch.float32 or logits.requires_grad:
        return resizing(logits).argmax(dim=1)
    labels = torch.empty((len(logits), *resizing.size), dtype=torch.int64)
    for image, out in zip(logits.split(1), labels, strict=True):
        out.copy_(_image_labels(image, resizing))
    return labels


def _image_labels(logits: Tensor, resizing: Resizing) -> Tensor:
    labels = None if _layout(logits) is None else _by_cells(logits, resizing)
    return resizing(logits)[0].argmax(dim=0) if labels is None else torch.from_numpy(labels)


def _by_cells(logits: Tensor, resizing: Resizing) -> np.ndarray | None:
    """Find the classes of an image's pixels cell by cell; ``None`` if that is not faster, or not exact."""
    maps = logits[0].flatten(1).contiguous().view(logits.shape[1:]).numpy()  # flat, the copy is faster
    matrices = [resizing.matrix(axis, maps.shape[1 + axis]) for axis in (0, 1)]
    decision = decide_by_cells(maps, *map(Axis, matrices))
    if decision is None or decision.scale >= HUGE:
        return None
    close = np.nonzero(decision.lead <= MARGIN * decision.scale + SMALLEST)
    if len(close[0]) > MOST_CLOSE:
        return None
    if len(close[0]):
        able = _able(maps, matrices, close, 6 if resizing.padded is None else 14)  # (C, n)
        decision.labels[close] = able.argmax(axis=0)
        several = able.sum(axis=0) > 1
        _decide_close(logits, resizing, able[:, several], [axis[several] for axis in close], decision.labels)
    return decision.labels


def _decide_close(
    logits: Tensor, resizing: Resizing, able: np.ndarray, pixels: list[np.ndarray], labels: np.ndarray
) -> None:
    """Decide pixels that depend on a kernel's rounding, and write their classes.

    Args:
        logits: ``(1, C, H, W)``.
        resizing: Resizing of the logits.
        able: Classes that can be the largest of a pixel ``(C, n)``.
        pixels: Rows and columns of the pixels ``(n,)``.
        labels: Map to write into.
    """
    if not able.size:
        return
    chosen = _like_all(np.flatnonzero(able.any(axis=1)), logits.shape[1])
    layout = _layout(logits)
    assert layout is not None
    values = _values(logits[:, torch.from_numpy(chosen)], layout, resizing, *pixels)
    labels[tuple(pixels)] = chosen[np.where(able[chosen], values, -np.inf).argmax(axis=0)]


def _values(
    logits: Tensor, layout: torch.memory_format, resizing: Resizing, ys: np.ndarray, xs: np.ndarray
) -> np.ndarray:
    """Resize logits ``(1, C, H, W)`` with PyTorch, and return the values of pixels ``(C, n)``."""
    rows, ratio = np.unique(ys), resizing.exact_ratio(logits.shape[2])
    if ratio == 0 or BAND_ROWS * len(rows) > logits.shape[2]:
        return resizing(logits.contiguous(memory_format=layout))[0].numpy()[:, ys, xs]
    values = np.empty((logits.shape[1], len(ys)), np.float32)
    for row in rows:
        top = max(int(row) // ratio - 1, 0)
        band = logits[:, :, top : int(row) // ratio + 2].contiguous(memory_format=layout)
        lines = _bilinear(band, (band.shape[2] * ratio, resizing.size[1]))[0].numpy()
        values[:, ys == row] = lines[:, row - top * ratio, xs[ys == row]]
    return values


def _able(
    maps: np.ndarray, matrices: list[np.ndarray], pixels: tuple[np.ndarray, ...], roundings: int
) -> np.ndarray:
    """Find the classes that rounding may make the largest of a pixel: ``(C, n)`` bool."""
    down, across = (Axis(matrix[places]) for matrix, places in zip(matrices, pixels, strict=True))
    value = magnitude = np.zeros((len(maps), len(pixels[0])))
    for i, vertical in enumerate(down.weights):
        for j, horizontal in enumerate(across.weights):
            weight = vertical.astype(np.float64) * horizontal
            term = maps[:, down.start + i, across.start + j] * weight
            value, magnitude = value + term, magnitude + abs(term)
    error = roundings * ROUNDING * magnitude + SMALLEST
    return value + error >= (value - error).max(axis=0)


def _like_all(classes: np.ndarray, count: int) -> np.ndarray:
    """Add classes so that a kernel treats each one as among all: in a whole group, or in the last one."""
    rest = count - count % LANES
    whole = classes[classes < rest]
    if rest == 0 or len(whole) + LANES >= rest:
        return np.arange(count)
    padding = np.zeros(-len(whole) % LANES, np.int64)
    return np.concatenate((whole, padding, np.arange(rest, count)))


def _layout(logits: Tensor) -> torch.memory_format | None:
    """Return the memory layout of logits; ``None`` for parts of larger tensors."""
    layouts = (torch.contiguous_format, torch.channels_last)
    return next((each for each in layouts if logits.is_contiguous(memory_format=each)), None)


def _bilinear(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _matrix(size: int, target: int) -> np.ndarray:
    """Read the weights of PyTorch's linear interpolation ``(target, size)``, float64."""
    resized = F.interpolate(torch.eye(size)[None], size=target, mode="linear", align_corners=False)
    return resized[0].T.double().numpy()
