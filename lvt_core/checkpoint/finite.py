"""Weights must be finite: a network that has diverged neither replaces a good checkpoint nor is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def not_finite(state: Mapping[str, Any]) -> str:
    """Return the name of the first tensor with a value that is NaN or infinite; empty if there is none.

    Args:
        state: State dict; other values than tensors of floating-point numbers do not count.
    """
    floats = {k: v for k, v in state.items() if isinstance(v, Tensor) and v.is_floating_point()}
    if not floats:
        return ""
    finite = torch.stack([torch.isfinite(value).all().cpu() for value in floats.values()])
    return "" if finite.all() else list(floats)[int((~finite).nonzero()[0])]
