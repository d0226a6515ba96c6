"""Token-label maps for digit scenes, in the file format of token labelling.

One file per training image, `<class folder>/<image stem>.pt`: a float16 tensor (2, 5, S, S) with,
for each cell of an S x S grid, the five largest logits in descending order (plane 0) and their
class indices (plane 1). Who reads it takes the logit of an absent class as 0, so a cell without
a digit, all zeros, is no evidence for any class.

The published maps come from a large network's opinion of each cell. Here the scene itself knows
what is in the cell, so the map needs no teacher.

H, W = height and width of the picture; S = cells per side; C = number of classes.
"""

import numpy as np
import torch

from demo.scans import DIGITS
from demo.scenes import Scene

KEPT = 5
FULL_LOGIT = 16.0  # the digit fills a fifth of a crop or more: 16 / 5 over nothing still is a clear label


def token_label_map(scene: Scene, *, cells: int) -> torch.Tensor:
    """What lies in each cell of a scene.

    A cell's logit for a digit is `FULL_LOGIT` times the share of its pixels that the digit covers.

    Args:
        scene: The scene.
        cells: S, the number of cells per side; it must divide both sides of the picture.

    Returns:
        The map, float16, shape (2, 5, S, S).

    Raises:
        ValueError: If the picture does not divide into that many cells.
    """
    height, width = scene.instances.shape
    if cells < 1 or height % cells or width % cells:
        raise ValueError(f"cells={cells}: must divide both sides of a {height} x {width} picture")
    digit_of = np.array([-1] + [entry.digit for entry in scene.objects])  # -1: background
    digit_map = digit_of[scene.instances]  # (H, W)
    shows = digit_map == np.arange(DIGITS)[:, None, None]  # (C, H, W)
    shows = shows.reshape(DIGITS, cells, height // cells, cells, width // cells)
    logits = torch.from_numpy(FULL_LOGIT * shows.mean(axis=(2, 4)))  # (C, S, S)
    # Stable, so that equal logits keep the order of their classes on every machine.
    value, index = logits.sort(dim=0, descending=True, stable=True)
    return torch.stack((value[:KEPT], index[:KEPT].to(value.dtype))).half()  # (2, 5, S, S)
