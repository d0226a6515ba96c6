"""The raw material: scikit-learn's 1797 scanned digits, and which of them are held out.

The scans come inside the scikit-learn package (the test part of UCI's "Optical Recognition of
Handwritten Digits"), so the demo needs no download.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.datasets import load_digits

DIGITS = 10
SPLITS = ("train", "val")
SCAN_MAX = 16  # the bundled scans count ink in 0..16
HELD_OUT_EVERY = 5  # of each class, the scans 0, 5, 10, ... are held out: 20 %


@dataclass(frozen=True)
class Scans:
    """The scanned digits.

    Attributes:
        ink: How much ink each scan pixel holds, float32 in 0..1, shape (N, 8, 8).
        digit: Which digit each scan shows, int64, shape (N,).
    """

    ink: np.ndarray
    digit: np.ndarray


@cache
def load_scans() -> Scans:
    """Reads the bundled scans; they are shared, so the arrays are read-only."""
    bundle = load_digits()
    ink = (bundle.images / SCAN_MAX).astype(np.float32)  # (N, 8, 8)
    digit = bundle.target.astype(np.int64)  # (N,)
    ink.flags.writeable = False
    digit.flags.writeable = False
    return Scans(ink=ink, digit=digit)


def split_number(split: str) -> int:
    """The position of a split in `SPLITS`; raises ValueError for a name that is not there."""
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: must be one of {SPLITS}")
    return SPLITS.index(split)


def split_scans(split: str, *, step: int = 1) -> tuple[int, ...]:
    """The scans that belong to a split, as indices into `load_scans()`, ascending.

    The split is by scan, not by picture: however often a training scan is rendered, no held-out
    scan is ever among them. It counts within each class, so both sides keep the class balance,
    and draws nothing at random, so it is the same for every seed.

    Args:
        split: `train` or `val`.
        step: Takes only every step-th scan of each class, for a quick look.

    Raises:
        ValueError: If the split is neither.
    """
    wants_held_out = split_number(split) == SPLITS.index("val")
    chosen: list[int] = []
    for value in range(DIGITS):
        of_class = np.flatnonzero(load_scans().digit == value)
        held_out = np.arange(len(of_class)) % HELD_OUT_EVERY == 0
        chosen += of_class[held_out == wants_held_out][::step].tolist()
    return tuple(sorted(chosen))
