"""Label maps of logits: bilinear resizing and argmax, on a CPU without resizing every class.

`lvt_predict.label_map` finds the winners. PyTorch's kernels round differently for each memory layout, number of
channels and size, but with equal weights. So a pixel whose two largest values are closer than rounding can explain is decided by the
kernel itself, on the classes that are so close.

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
    maps = logits[0].contiguous().numpy()
    matrices = [resizing.matrix(axis, maps.shape[1 + axis]) for axis in (0, 1)]
    decision = decide_by_cells(maps, *map(Axis, matrices))
    if decision is not None and decision.scale < HUGE:
        close = np.nonzero(decision.lead <= MARGIN * decision.scale + SMALLEST)
        if 0 < len(close[0]) <= MOST_CLOSE:
            _decide_close(logits, resizing, matrices, close, decision.labels)
        if len(close[0]) <= MOST_CLOSE:
            return torch.from_numpy(decision.labels)
    return resizing(logits)[0].argmax(dim=0)


def _decide_close(
    logits: Tensor,
    resizing: Resizing,
    matrices: list[np.ndarray],
    close: tuple[np.ndarray, ...],
    labels: np.ndarray,
) -> None:
    """Decide pixels whose largest values are close, and write their classes.

    Args:
        logits: ``(1, C, H, W)``.
        resizing: Resizing of the logits.
        matrices: Its matrices, of rows and of columns.
        close: Rows and columns of the pixels ``(n,)``.
        labels: Map to write into.
    """
    roundings = 6 if resizing.padded is None else 14  # two steps, and their weights as one
    able = _able(logits[0].numpy(), matrices, close, roundings)  # (C, n)
    labels[close] = able.argmax(axis=0)
    open_ = able.sum(axis=0) > 1
    if not open_.any():
        return
    able = able[:, open_]
    pixels = tuple(axis[open_] for axis in close)
    chosen = _like_all(np.flatnonzero(able.any(axis=1)), logits.shape[1])
    resized = resizing(_channels(logits, chosen))[0].numpy()[:, *pixels]
    labels[pixels] = chosen[np.where(able[chosen], resized, -np.inf).argmax(axis=0)]


def _able(maps: np.ndarray, matrices: list[np.ndarray], pixels: tuple[np.ndarray, ...], roundings: int) -> np.ndarray:
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
    """Add classes so that a kernel treats each one as it does among all: in a whole group, or in the last one."""
    rest = count - count % LANES
    whole = classes[classes < rest]
    if rest == 0 or len(whole) + LANES >= rest:
        return np.arange(count)
    filled = np.resize(whole if len(whole) else np.zeros(1, np.int64), max(-(-len(whole) // LANES), 1) * LANES)
    filled[: len(whole)] = whole
    return np.concatenate((filled, np.arange(rest, count)))


def _channels(logits: Tensor, chosen: np.ndarray) -> Tensor:
    """Take channels without changing the memory layout."""
    if len(chosen) == logits.shape[1]:
        return logits
    kind = torch.contiguous_format if logits.is_contiguous() else torch.channels_last
    return logits[:, torch.from_numpy(chosen)].contiguous(memory_format=kind)


def _bilinear(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _matrix(size: int, target: int) -> np.ndarray:
    """Read the weights of PyTorch's linear interpolation ``(target, size)``, float64."""
    resized = F.interpolate(torch.eye(size)[None], size=target, mode="linear", align_corners=False)
    return resized[0].T.double().numpy()
