"""MixToken: mix the tokens of two images in a box, label each token by its own image.

From token labelling (Jiang et al. 2021); LVT mixes on the first stage's map. Legend: B batch, H W map.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sample_box(height: int, width: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw a box on an ``height x width`` grid: ``lambda ~ Beta(1, 1)``, sides ``sqrt(1 - lambda)``.

    The centre is uniform over the grid; the borders are rounded to cells (so that grids of one or two
    cells mix too) and clipped, and the box may be empty. Everything comes from PyTorch's CPU
    generator: reproducible under `torch.manual_seed`, and without waiting for a GPU.

    Args:
        height: Rows of the grid.
        width: Columns of the grid.
        generator: Draw from this generator instead of the default one.

    Returns:
        ``(y0, x0, y1, x1)`` as int64, the end exclusive.
    """
    # Beta(1, 1) is the uniform distribution.
    lam, cy, cx = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    half = (1.0 - lam) ** 0.5 / 2
    y0, y1 = (min(max(round(height * y), 0), height) for y in (cy - half, cy + half))
    x0, x1 = (min(max(round(width * x), 0), width) for x in (cx - half, cx + half))
    return torch.tensor((y0, x0, y1, x1))


def swap_box(x: Tensor, box: Tensor, *, scale: int = 1) -> Tensor:
    """Inside the box, give each sample the values of its partner in the reversed batch.

    Swapping twice in the same box restores the map. The box is data, not shape, so the operation
    compiles once.

    Args:
        x: Map ``(B, H, W, C)``.
        box: ``(y0, x0, y1, x1)``, int64.
        scale: Cells of ``x`` per unit of ``box``; a box that ends at its grid's border covers what is
            left of an odd map, because the map is at most ``scale`` times the grid.

    Returns:
        Map ``(B, H, W, C)``.
    """
    _, H, W, _ = x.shape
    y0, x0, y1, x1 = (box * scale).to(x.device).unbind(0)
    rows = torch.arange(H, device=x.device)
    cols = torch.arange(W, device=x.device)
    inside = ((rows >= y0) & (rows < y1))[:, None] & ((cols >= x0) & (cols < x1))  # (H, W)
    return torch.where(inside[None, :, :, None], x.flip(0), x)
