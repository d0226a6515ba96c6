"""Small architectures and a comparison for the tests of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lvt_core import LVTConfig
from tests.small import SMALL


def small(**fields: Any) -> LVTConfig:
    return LVTConfig(**SMALL | fields)


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts have the same keys in any order, with the same bits."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
