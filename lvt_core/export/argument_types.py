"""Types of command-line arguments, for argparse."""

from __future__ import annotations

import argparse

ANY = "dynamic"


def count(word: str) -> int:
    """Read a number of images, at least one."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word}: must be an integer, at least 1")
    return int(word)


def part(word: str) -> float:
    """Read a part of a side, more than 0 and at most 1."""
    try:
        share = float(word)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:  # also rejects NaN
        raise argparse.ArgumentTypeError(f"{word}: must be a number in (0, 1]")
    return share


def batch(word: str) -> int | str:
    """Read a number of images, at least one, or `ANY`."""
    return ANY if word == ANY else count(word)
