"""Logits for the tests of label maps."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

STRANGE = (np.inf, -np.inf, np.nan, 3e38, -3e38, -0.0)


def smooth_logits(classes: int, height: int, width: int, *, seed: int) -> np.ndarray:
    """Make logits ``(C, H, W)`` with large regions: blobs, finer ones, and a little noise."""
    rng = np.random.default_rng(seed)
    total = np.zeros((classes, height, width))
    for cell, size in ((8, 4.0), (3, 1.0), (1, 0.05)):
        coarse = rng.normal(size=(classes, height // cell + 2, width // cell + 2))
        for axis, length in ((1, height), (2, width)):
            places = np.arange(length) / cell
            left, share = places.astype(int), places % 1
            shape = [-1 if i == axis else 1 for i in range(3)]
            coarse = coarse.take(left, axis) * (1 - share).reshape(shape) + coarse.take(
                left + 1, axis
            ) * share.reshape(shape)
        total += size * coarse
    return total.astype(np.float32)


@st.composite
def drawn_logits(draw: st.DrawFn, *, finite: bool = False) -> tuple[np.ndarray, tuple[int, int]]:
    """Draw logits ``(C, H, W)`` and a size: smooth, noise, few values with many ties, constant, strange."""
    classes = draw(st.sampled_from((1, 2, 3, 7, 20, 150)))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    size = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    seed, kind = (
        draw(st.integers(0, 2**32 - 1)),
        draw(st.sampled_from(("smooth", "noise", "ties", "constant"))),
    )
    rng = np.random.default_rng(seed)
    shape = classes, height, width
    if kind == "smooth":
        logits = smooth_logits(*shape, seed=seed)
    elif kind == "noise":
        logits = rng.normal(size=shape)
    elif kind == "ties":
        logits = rng.integers(0, 3, shape) * draw(st.sampled_from((1.0, 0.1, 2.0**-149)))
    else:
        logits = np.full(shape, draw(st.floats(-(2.0**100), 2.0**100, width=32)))
    logits = logits.astype(np.float32)
    if not finite and draw(st.booleans()):
        count = draw(st.integers(1, 4))
        logits.flat[rng.integers(0, logits.size, count)] = rng.choice(STRANGE, count)
        if draw(st.booleans()):
            logits[rng.integers(classes)] = rng.choice(STRANGE)
    return logits, size
