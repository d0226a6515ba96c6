"""Small models for the tests of checkpoints."""

from __future__ import annotations

import torch

from lvt_core import LVTConfig

SMALL = {"embed_dims": (8, 8, 16, 16), "num_heads": (2, 2, 4, 2)}


def small(**kwargs) -> LVTConfig:
    return LVTConfig(**{**SMALL, "num_classes": 5, **kwargs})


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
