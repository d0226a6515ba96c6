"""Checkpoints that describe large or odd networks: each is rejected soon, and with little memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

import lvt_core
from lvt_core.errors import UserError
from tests.attacks.limits import rejected
from tests.attacks.payloads import checkpoint


def tiny() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    kwargs = {"depths": (1, 1, 1, 1), "embed_dims": (8, 8, 16, 16), "num_heads": (2, 2, 2, 2)}
    return timm.create_model("lvt_cls", num_classes=3, **kwargs).state_dict()


def test_shapes_that_describe_a_large_network(tmp_path: Path) -> None:
    """The architecture follows from the shapes, and a tensor of a size 0 needs no bytes for the others."""
    file = tmp_path / "a.pth"
    for key, value in tiny().items():
        for size in ((10**7, *(0 for _ in value.shape[1:])), (*(0 for _ in value.shape[1:]), 10**7)):
            if value.ndim > 1:
                torch.save(tiny() | {key: torch.zeros(size)}, file)
                with rejected("a.pth"):
                    lvt_core.load(file)


def test_numbers_of_blocks(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    for number in (10**3, 10**9, int("9" * 4000)):
        weights = tiny()
        for key in [key for key in weights if re.search(r"\d+\.norm1", key)]:
            changed = weights | {re.sub(r"\d+(?=\.norm1)", str(number), key): weights[key]}
            torch.save(changed, file)
            with rejected("a.pth"):
                lvt_core.load(file)


FACTS: dict[str, Any] = {
    "classes": [{"classes": ["a"] * 10**5}, {"class_to_idx": {"a": 10**9}}, {"class_to_idx": {"a": -1}}],
    "pictures": [{"data_config": {"input_size": (3, 10**6, 10**6)}}, {"data_config": {"crop_pct": 1e-9}}],
    "keywords": [
        {"arch": "lvt_cls", "model_kwargs": {"depths": (10**9, 1, 1, 1)}},
        {"arch": "lvt_cls", "model_kwargs": {"embed_dims": (10**7,) * 4, "num_heads": (1,) * 4}},
        {"arch": "lvt_cls", "model_kwargs": {"mlp_ratios": (10**7,) * 4}},
        {"arch": "lvt_cls", "model_kwargs": {"num_classes": 10**11}},
        {"arch": "lvt_cls", "model_kwargs": {"num_recursions": 10**9}},
        {"arch": "lvt_cls", "model_kwargs": {"atrous_rates": (1,) * 10**6}},
        {"arch": "lvt_cls", "model_kwargs": {"atrous_rates": (10**9,)}},
        {"arch": "lvt_cls", "model_kwargs": {"atrous_rates": "a"}},
    ],
    "models": [
        {"arch": "resnet18", "model_kwargs": {"num_classes": 10**7}},
        {"arch": "resnet18", "model_kwargs": {"pretrained": True}},
        {"arch": "resnet18", "model_kwargs": {"pretrained_cfg_overlay": {"file": "b.pth"}}},
        {"arch": "resnet18", "model_kwargs": {"num_classes": 10**12}},
        {"arch": "resnet18", "model_kwargs": {"checkpoint_path": "b.pth"}},
        {"arch": "hf-hub:a/b"},
        {"arch": "local-dir:."},
        {"arch": "../../a"},
    ],
}


@pytest.mark.parametrize("name", FACTS)
def test_facts(name: str, tmp_path: Path) -> None:
    """A file may say anything about its network; opening it and a prediction end soon."""
    file = tmp_path / "a.pth"
    checkpoint(tmp_path / "b.pth", tmp_path / "ran")
    for facts in FACTS[name]:
        weights = {"conv1.weight": torch.zeros(1)} if name == "models" else tiny()
        torch.save({"state_dict": weights, "model": None, **facts}, file)
        with rejected():
            lvt_core.load(file).predict(np.zeros((40, 40, 3), np.uint8))
            raise UserError("was accepted, which is allowed")
    assert not (tmp_path / "ran").exists()
