"""Token-label maps: their files, and the regions of a map that the tokens of a crop see.

Legend: B batch, K classes, k kept classes per cell (5 as published), h w cells of the map, S tokens per side,
P = S * S places.
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
    """Return the path of an image's label map: ``<root>/<class>/<stem>.pt`` for ``<class>/<stem>.JPEG``."""
    return Path(root) / Path(image).with_suffix(".pt")


def read_label_map(path: Path, num_classes: int) -> Tensor:
    """Read a map: float16 ``(2, k, h, w)``, plane 0 raw logits, plane 1 their class indices.

    Raises:
        UserError: The file is missing, unsafe or damaged, or has another shape or number of classes.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such token-label file")
    try:
        label = read_checkpoint_object(path)
    except CheckpointError as error:
        raise UserError(str(error).replace("checkpoint", "token-label file")) from error
    if not isinstance(label, Tensor) or label.ndim != 4 or label.shape[0] != 2:
        shape = tuple(label.shape) if isinstance(label, Tensor) else type(label).__name__
        raise UserError(f"{path}: holds {shape}; a token-label file must hold (2, 5, height, width)")
    if not label.isfinite().all():
        raise UserError(f"{path}: holds NaN or infinity; make the file again")
    for named in (int(label[1].min()), int(label[1].max())):
        if not 0 <= named < num_classes:
            raise UserError(f"{path}: names class {named}, but the data set has {num_classes} classes")
    return label


def assemble(truth: Tensor, image: Tensor, tokens: Tensor, smoothing: float) -> Tensor:
    """Make targets ``(B, K, 2 + P)`` of truth and logits: image ``(B, 1, K)``, tokens ``(B, P, K)``."""
    one_hot = image_targets(truth, image.shape[-1], smoothing)[:, None]  # (B, 1, K)
    soft = torch.cat((image, tokens), dim=1).softmax(dim=-1)  # (B, 1 + P, K)
    planes = torch.cat((one_hot.to(soft), smooth_soft(soft, smoothing)), dim=1)  # (B, 2 + P, K)
    return planes.transpose(1, 2)


def image_targets(truth: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return smoothed one-hot labels ``(B, K)``."""
    off = smoothing / num_classes
    label = torch.zeros(len(truth), num_classes, device=truth.device)
    return label.scatter_(1, truth[:, None], 1.0 - smoothing) + off


def smooth_soft(target: Tensor, smoothing: float) -> Tensor:
    """Smooth soft labels over the last dimension, as the original release trained.

    The factor is the largest value of a smoothed one-hot label, so the sum is ``1 + smoothing / K``, not 1.
    """
    off = smoothing / target.shape[-1]
    return target * (1.0 - smoothing + off) + off


def crop_span(map_size: Sequence[int], geometry: Tensor) -> float:
    """Return the longest side of a batch's crops, in cells; call it while the geometry is on the host."""
    return float(_in_cells(map_size, geometry)[:, :, :2].norm(dim=1).max())


def _in_cells(map_size: Sequence[int], geometry: Tensor) -> Tensor:
    """Return the matrices that take fractions of the crops to cells, ``(B, 2, 3)``."""
    h, w = map_size
    return torch.stack((geometry[:, 0].float() * w, geometry[:, 1].float() * h), dim=1)


def region_weights(map_size: Sequence[int], geometry: Tensor, size: int, span: float) -> Tensor:
    """Return the weight of each cell at each place, ``(B, P, h * w)``.

    It is RoIAlign with adaptive sampling, for any affine map. Each place averages a grid of points, as many
    per axis as the place spans cells; each point interpolates bilinearly between the centres of cells. Points
    more than one cell outside of the map have weight 0. For an upright box it equals
    `torchvision.ops.roi_align`. The span is an argument because reading it from a GPU would make every step
    of training wait.

    Args:
        map_size: Cells of the maps, ``(h, w)``.
        geometry: Matrices that take fractions of the crops to fractions of the images, ``(B, 2, 3)``.
        size: Tokens per side ``S``.
        span: Longest side of the crops, from `crop_span`.
    """
    h, w = map_size
    device = geometry.device
    matrix = _in_cells(map_size, geometry)  # (B, 2, 3)
    spans = matrix[:, :, :2].norm(dim=1) / size  # (B, 2): cells that a place spans along x and y
    most = max(1, math.ceil(span / size - 1e-4))
    counts = (spans - 1e-4).ceil().clamp(1, most)  # (B, 2): points of a place along x and y
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
