"""Token-label maps of digit scenes, in the file format of token labelling.

A training image has one file, `<class folder>/<image stem>.pt`: a float16 tensor (2, 5, S, S). For each cell
of an S x S grid, plane 0 has the five largest logits in descending order, and plane 1 the indices of their
classes. A reader takes the logit of any other class as 0. A cell without a digit is all zeros, so it speaks
for no class.

The published maps come from the predictions of a large network. Here the scene knows what each cell shows.

H, W = height and width of the picture; S = cells per side; C = number of classes.
"""

import numpy as np
import torch

from demo.scenes.compose import Scene
from demo.scenes.scans import DIGITS

KEPT = 5
# A digit fills about a fifth of a crop, and 16 / 5 above all other classes is still a clear label.
FULL_LOGIT = 16.0


def token_label_map(scene: Scene, *, cells: int) -> torch.Tensor:
    """Label each cell of a scene with the digits in it.

    A digit's logit in a cell is `FULL_LOGIT` times the share of the cell's pixels that the digit covers.

    Args:
        scene: Scene to label.
        cells: Number S of cells per side; it must divide both sides of the picture.

    Returns:
        Label map, float16, shape (2, 5, S, S).

    Raises:
        ValueError: The picture cannot be divided into that many cells.
    """
    height, width = scene.instances.shape
    if cells < 1 or height % cells or width % cells:
        raise ValueError(f"cells={cells}: must divide both sides of a {height} x {width} picture")
    digit_of = np.array([-1] + [entry.digit for entry in scene.objects])  # -1: background
    digit_map = digit_of[scene.instances]  # (H, W)
    covered = digit_map == np.arange(DIGITS)[:, None, None]  # (C, H, W)
    covered = covered.reshape(DIGITS, cells, height // cells, cells, width // cells)
    logits = torch.from_numpy(FULL_LOGIT * covered.mean(axis=(2, 4)))  # (C, S, S)
    # A stable sort keeps classes with equal logits in the same order on every machine.
    value, index = logits.sort(dim=0, descending=True, stable=True)
    return torch.stack((value[:KEPT], index[:KEPT].to(value.dtype))).half()  # (2, 5, S, S)
