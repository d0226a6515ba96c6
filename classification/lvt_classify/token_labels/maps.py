"""Token labels: stored top-5 maps become one soft label per token, for whole batches.

Legend: B batch, K classes, k kept classes per cell (5 as published), h w the map's cells, S tokens per
side, P = S * S places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lvt_core.checkpoint.read import CheckpointError, read_checkpoint_object
from lvt_core.errors import UserError


def label_path(root: str | Path, image: str) -> Path:
    """The label map of an image, ``<root>/<class>/<stem>.pt`` for ``<class>/<stem>.JPEG``."""
    return Path(root) / Path(image).with_suffix(".pt")


def read_label_map(path: Path, num_classes: int) -> Tensor:
    """Read a map: float16 ``(2, k, h, w)``, plane 0 raw logits, plane 1 their class indices.

    Raises:
        UserError: The file is missing, unsafe, damaged, or of another shape or number of classes.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such token-label file")
    try:
        label = read_checkpoint_object(path)
    except CheckpointError as error:
        raise UserError(str(error).replace("checkpoint", "token-label file")) from error
    if not isinstance(label, Tensor) or label.ndim != 4 or label.shape[0] != 2:
        shape = tuple(label.shape) if isinstance(label, Tensor) else type(label).__name__
        raise UserError(f"{path}: holds {shape}; a token-label file holds (2, 5, height, width)")
    if not label.isfinite().all():
        raise UserError(f"{path}: holds values that are not finite")
    largest = int(label[1].max())
    if label[1].min() < 0 or largest >= num_classes:
        raise UserError(f"{path}: names class {largest}; there are {num_classes} classes")
    return label


def assemble(truth: Tensor, image: Tensor, tokens: Tensor, smoothing: float) -> Tensor:
    """True classes, image logits ``(B, 1, K)`` and token logits ``(B, P, K)`` to ``(B, K, 2 + P)``."""
    one_hot = image_targets(truth, image.shape[-1], smoothing)[:, None]  # (B, 1, K)
    soft = torch.cat((image, tokens), dim=1).softmax(dim=-1)  # (B, 1 + P, K)
    planes = torch.cat((one_hot.to(soft), smooth_soft(soft, smoothing)), dim=1)  # (B, 2 + P, K)
    return planes.transpose(1, 2)


def image_targets(truth: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Smoothed one-hot labels ``(B, K)``."""
    off = smoothing / num_classes
    label = torch.zeros(len(truth), num_classes, device=truth.device)
    return label.scatter_(1, truth[:, None], 1.0 - smoothing) + off


def smooth_soft(target: Tensor, smoothing: float) -> Tensor:
    """Smoothing of soft labels over the last dimension, as the original release trained.

    The factor is the smoothed one-hot's largest value, so the sum is ``1 + smoothing / K``, not 1.
    """
    off = smoothing / target.shape[-1]
    return target * (1.0 - smoothing + off) + off


def crop_span(map_size: Sequence[int], geometry: Tensor) -> float:
    """The longest side of a batch's crops, in map cells. Ask where the geometry is on the host."""
    return float(_in_cells(map_size, geometry)[:, :, :2].norm(dim=1).max())


def _in_cells(map_size: Sequence[int], geometry: Tensor) -> Tensor:
    """From the crop's fractions to cells of a map ``(h, w)``: ``(B, 2, 3)``."""
    h, w = map_size
    return torch.stack((geometry[:, 0].float() * w, geometry[:, 1].float() * h), dim=1)


def region_weights(map_size: Sequence[int], geometry: Tensor, size: int, span: float) -> Tensor:
    """How much of each map cell each place sees: ``(B, S * S, h * w)``.

    RoIAlign with adaptive sampling, for any affine map: each place averages a grid of points, as many
    per axis as it spans map cells, each interpolated bilinearly between cell centres. Points more than
    one cell outside of the map see nothing. For an upright box it equals `torchvision.ops.roi_align`.
    The host must know the span beforehand: to ask a GPU for it would stop every step of training.

    Args:
        map_size: ``(h, w)``.
        geometry: ``(B, 2, 3)``, from the crop's fractions to the image's.
        size: ``S``.
        span: From `crop_span`.
    """
    h, w = map_size
    device = geometry.device
    matrix = _in_cells(map_size, geometry)  # (B, 2, 3)
    # Points per axis of a place: the length, in cells, that one place spans along it.
    spans = matrix[:, :, :2].norm(dim=1) / size  # (B, 2): along x, along y
    most = max(1, math.ceil(span / size - 1e-4))
    counts = (spans - 1e-4).ceil().clamp(1, most)  # (B, 2)
    steps = torch.arange(most, device=device)
    inside = (steps + 0.5) / counts[..., None]  # (B, 2, most): fraction of the place
    share = (steps < counts[..., None]) / counts[..., None]  # (B, 2, most): 0 for unused points
    places = torch.arange(size, device=device)
    grid = (places[:, None] + inside[:, :, None]) / size  # (B, 2, S, most): fraction of the crop
    x, y = grid[:, 0, None, :, None, :], grid[:, 1, :, None, :, None]  # over (B, S, S, most, most)
    m = matrix[:, :, :, None, None, None, None]
    u = m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2] - 0.5  # column in cells; (B, S, S, most, most)
    v = m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2] - 0.5  # row
    weight = share[:, 0, None, None, None, :] * share[:, 1, None, None, :, None]
    weight = weight * ((u > -1) & (u < w) & (v > -1) & (v < h))
    u, v = u.clamp(0, w - 1), v.clamp(0, h - 1)
    result = torch.zeros(len(geometry), size * size, h * w, device=device)
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = u.floor() + dx, v.floor() + dy
            part = weight * (1 - (u - column).abs()) * (1 - (v - row).abs())
            cell = row.clamp(max=h - 1) * w + column.clamp(max=w - 1)
            result.scatter_add_(2, cell.long().flatten(3).flatten(1, 2), part.flatten(3).flatten(1, 2))
    return result
