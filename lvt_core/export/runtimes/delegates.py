"""The share of a graph that an accelerator's delegate takes, and forms that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Delegation:
    """The division of a graph between a delegate and its runtime.

    Attributes:
        partitions: Number of pieces that the delegate takes.
        outside: Number of operators that it leaves to the runtime, by name.
    """

    partitions: int
    outside: dict[str, int]

    def __str__(self) -> str:
        pieces = "1 piece" if self.partitions == 1 else f"{self.partitions} pieces"
        names = sorted(self.outside, key=lambda name: (-self.outside[name], name))
        left = ", ".join(f"{self.outside[name]} {name}" for name in names)
        return f"takes {pieces}" + (f"; leaves {left}" if left else " and all operators")


def plain_slice(
    x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """Take every `step`-th entry of a dimension with slices of neighbours, the only ones in XNNPACK.

    Steps become a separate dimension, ``(before, length / step, step, after)``.
    """
    if step == 1:
        return NotImplemented  # stays as it is
    first, phase = divmod(start or 0, step)
    length = x.shape[dim]
    count = -((first * step + phase - min(length, length if end is None else end)) // step)
    x = F.pad(x, (0, 0) * (x.dim() - 1 - dim) + (0, -length % step))
    steps = x.reshape(prod(x.shape[:dim]), -1, step, prod(x.shape[dim + 1 :]))
    entries = steps[:, first : first + count, phase : phase + 1]
    return entries.reshape(*x.shape[:dim], count, *x.shape[dim + 1 :])
