"""MixToken: mix the tokens of two images in a box, and label each token by its own image.

MixToken comes from token labelling (Jiang et al. 2021); LVT mixes the first stage's map. Legend: B batch,
H W map.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sample_box(height: int, width: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw a box on a ``height x width`` grid: ``lambda ~ Beta(1, 1)``, sides ``sqrt(1 - lambda)``.

    All random numbers come from PyTorch's CPU generator, so they follow from `torch.manual_seed` and need
    no synchronisation with a GPU.

    Args:
        height: Rows of the grid.
        width: Columns of the grid.
        generator: Draw from this generator instead of the default one.

    Returns:
        ``(y0, x0, y1, x1)`` as int64, the end exclusive.
    """
    # Beta(1, 1) is the uniform distribution.
    lam, y, x = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    return torch.tensor(mix_box(height, width, lam, row=int(y * height), column=int(x * width)))


def mix_box(height: int, width: int, lam: float, *, row: int, column: int) -> tuple[int, int, int, int]:
    """Return the box of the original release around a cell; it is clipped to the grid and may be empty.

    Its sides are ``floor(side * sqrt(1 - lam))``, halved downwards to both sides of the cell: an odd side
    loses one cell. On a 7 x 7 grid 23.5 % of the cells are mixed on average; 8.2 % of the boxes are empty.

    Args:
        height: Rows of the grid.
        width: Columns of the grid.
        lam: Share of the batch that is not mixed, 0..1, before clipping and rounding.
        row: Centre, a row of the grid.
        column: Centre, a column of the grid.

    Returns:
        ``(y0, x0, y1, x1)``, the end exclusive.
    """
    half_height = int(height * (1.0 - lam) ** 0.5) // 2
    half_width = int(width * (1.0 - lam) ** 0.5) // 2
    return (
        max(row - half_height, 0),
        max(column - half_width, 0),
        min(row + half_height, height),
        min(column + half_width, width),
    )


def swap_box(x: Tensor, box: Tensor, *, scale: int = 1) -> Tensor:
    """Give each sample the values of its partner in the reversed batch inside of the box.

    Swapping twice in the same box restores the map. The box is data, not shape, so the operation
    compiles once.

    Args:
        x: Map ``(B, H, W, C)``.
        box: ``(y0, x0, y1, x1)``, int64.
        scale: Cells of ``x`` per unit of ``box``. The map has at most ``scale`` times the grid's cells, so a
            box that reaches the grid's border reaches the map's border.

    Returns:
        Map ``(B, H, W, C)``.
    """
    _, H, W, _ = x.shape
    y0, x0, y1, x1 = (box * scale).to(x.device).unbind(0)
    rows = torch.arange(H, device=x.device)
    cols = torch.arange(W, device=x.device)
    inside = ((rows >= y0) & (rows < y1))[:, None] & ((cols >= x0) & (cols < x1))  # (H, W)
    return torch.where(inside[None, :, :, None], x.flip(0), x)
