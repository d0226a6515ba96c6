"""Weights and inputs by rule, outputs of the original release (see ``golden/README.md``)."""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "golden"


@cache
def golden() -> dict[str, Any]:
    return json.loads((FOLDER / "golden.json").read_text())


def case(name: str) -> dict[str, Any]:
    return golden()["cases"][name]


@cache
def _arrays() -> Any:
    return np.load(FOLDER / "golden.npz")


def expected(name: str) -> Tensor:
    return torch.from_numpy(_arrays()[name])


def weight(key: str, shape: list[int]) -> Tensor:
    """Return the weight that the rule gives for an original key."""
    seed = zlib.crc32((golden()["salt"] + key).encode())
    z = np.random.RandomState(seed).standard_normal(shape)
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        z = np.zeros(shape)
    elif leaf == "running_var":
        z = 1 + 0.1 * np.abs(z)
    elif leaf == "weight" and len(shape) == 1:
        z = 1 + 0.1 * z
    elif leaf in ("running_mean", "bias", "cls_token"):
        z = 0.1 * z
    else:
        z = z / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(z, dtype=np.float32))


def state_dict(shapes: dict[str, list[int]] | str) -> dict[str, Tensor]:
    """Return an original state dict by rule, from its shapes or the name of a listed one."""
    shapes = golden()[shapes] if isinstance(shapes, str) else shapes
    return {key: weight(key, shape) for key, shape in shapes.items()}


def image(name: str) -> Tensor:
    entry = case(name)
    z = np.random.RandomState(entry["input_seed"]).standard_normal(entry["input_shape"])
    return torch.from_numpy(z.astype(np.float32))


def assert_close(actual: Tensor, name: str, tolerance: float = 1e-4) -> None:
    """Check that ``|a - b| <= tolerance * max |b|`` everywhere."""
    target = expected(name)
    assert actual.shape == target.shape
    error = (actual.detach() - target).abs().max() / target.abs().max()
    assert error <= tolerance, f"{name}: off by {error:.2e} of the largest value"
