"""Seeds of random numbers, from numbers such as the epoch and the index."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_sample(*numbers: int) -> None:
    """Seed as `seed_everything` does, but without GPUs, which a sample does not use: far quicker."""
    value = mix_seeds(*numbers)
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.default_generator.manual_seed(value)


def seed_everything(*numbers: int) -> None:
    """Seed Python, NumPy and PyTorch; equal numbers give equal random numbers."""
    value = mix_seeds(*numbers)
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)


def mix_seeds(*numbers: int) -> int:
    """Return a 63-bit seed that depends on every number."""
    state = np.random.SeedSequence([number % 2**64 for number in numbers]).generate_state(2)
    return int(state[0]) << 31 | int(state[1]) >> 1
