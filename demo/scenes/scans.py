"""Scans of 1797 handwritten digits, from scikit-learn, and which of them are held out.

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
HELD_OUT_EVERY = 5  # in each class, the scans 0, 5, 10, ... are held out: 20 %


@dataclass(frozen=True)
class Scans:
    """Scanned digits.

    Attributes:
        ink: Amount of ink in each pixel of a scan, float32 in 0..1, shape (N, 8, 8).
        digit: Digit that each scan shows, int64, shape (N,).
    """

    ink: np.ndarray
    digit: np.ndarray


@cache
def load_scans() -> Scans:
    """Read the bundled scans; the arrays are read-only because all callers share them."""
    bundle = load_digits()
    ink = (bundle.images / SCAN_MAX).astype(np.float32)  # (N, 8, 8)
    digit = bundle.target.astype(np.int64)  # (N,)
    ink.flags.writeable = False
    digit.flags.writeable = False
    return Scans(ink=ink, digit=digit)


def split_number(split: str) -> int:
    """Return the position of a split in `SPLITS`.

    Raises:
        ValueError: The split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: must be one of {SPLITS}")
    return SPLITS.index(split)


@cache
def split_scans(split: str, *, step: int = 1) -> tuple[int, ...]:
    """Return the scans of a split, as ascending indices into `load_scans()`.

    The split divides scans, not pictures, so no rendering of a held-out scan is ever trained on. It counts
    within each class, so both sides keep the class balance, and it is the same for every seed.

    Args:
        split: `train` or `val`.
        step: Step through the scans of each class; more than 1 is for a quick look.

    Raises:
        ValueError: The split is unknown.
    """
    wants_held_out = split_number(split) == SPLITS.index("val")
    chosen: list[int] = []
    for value in range(DIGITS):
        of_class = np.flatnonzero(load_scans().digit == value)
        held_out = np.arange(len(of_class)) % HELD_OUT_EVERY == 0
        chosen += of_class[held_out == wants_held_out][::step].tolist()
    return tuple(sorted(chosen))
