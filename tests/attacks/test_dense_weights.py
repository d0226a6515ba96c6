"""Weights that a dense config names for any module are read without running code from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

import lvt_core
import lvt_det  # noqa: F401  (prepares mmdetection)
from lvt_core.errors import UserError
from lvt_core.openmmlab.commands import import_framework
from tests.attacks.limits import rejected
from tests.attacks.payloads import checkpoint

import_framework("mmdet")
from mmdet.registry import MODELS  # noqa: E402

NECK = {"type": "mmdet.FPN", "in_channels": [8], "out_channels": 8, "num_outs": 1}
RESNET = {"type": "mmdet.ResNet", "depth": 18}


def build(config: dict[str, Any]) -> None:
    MODELS.build(ConfigDict(config)).init_weights()


DOORS: dict[str, Callable[[str], object]] = {
    "neck": lambda file: build({**NECK, "init_cfg": {"type": "Pretrained", "checkpoint": file}}),
    "neck, a part of a file": lambda file: build(
        {**NECK, "init_cfg": {"type": "Pretrained", "checkpoint": file, "prefix": "neck"}}
    ),
    "backbone": lambda file: build({**RESNET, "init_cfg": {"type": "Pretrained", "checkpoint": file}}),
    "backbone, old name": lambda file: build({**RESNET, "pretrained": file}),
    "Swin": lambda file: build(
        {
            "type": "mmdet.SwinTransformer",
            "embed_dims": 8,
            "depths": (1, 1, 1, 1),
            "num_heads": (1, 1, 1, 1),
            "init_cfg": {"type": "Pretrained", "checkpoint": file},
        }
    ),
    "inferencers": lambda file: load_checkpoint(torch.nn.Conv2d(1, 1, 1), file),
    "inferencers, weights only": lambda file: CheckpointLoader.load_checkpoint(file),
}


@pytest.mark.parametrize("name", DOORS)
def test_weights_run_no_code(name: str, tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "a.pth", tmp_path / "ran")
    with pytest.raises(UserError, match=r"a.pth: rejected, because it contains \w+.mkdir; only tensors"):
        DOORS[name](str(file))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["s3://a/b.pth", "petrel://a.pth", "x:s3://a.pth", "pavi://a.pth"])
def test_stores_without_a_safe_reader_are_rejected(place: str) -> None:
    with pytest.raises(UserError, match=f"{place}: .* download the file"):
        CheckpointLoader.load_checkpoint(place)


NETWORKS = {
    "channels of the neck": "neck=dict(out_channels=1000000)",
    "channels of a head": "rpn_head=dict(feat_channels=1000000)",
    "blocks": "backbone=dict(depths=(1000000, 1, 1, 1))",
    "nested blocks": "backbone=dict(depths=((1000000,), 1, 1, 1))",
    "convolutions": "roi_head=dict(mask_head=dict(num_convs=1000000))",
    "levels": "neck=dict(num_outs=100000000)",
    "digits": f"neck=dict(num_outs={'9' * 5000})",
    "another type": "neck=dict(type='os.system')",
    "another checkpoint": "neck=dict(init_cfg=dict(type='Pretrained', checkpoint='b.pth'))",
    "nested lists": "neck=" + "[" * 200_000,
    "a call": "neck=__import__('os').mkdir('ran')",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_config_in_a_checkpoint(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never runs, and cannot describe a network that fills the memory."""
    monkeypatch.chdir(tmp_path)
    weights = {"rpn_head.rpn_conv.weight": torch.zeros(1)}
    config = f"default_scope='mmdet'\nmodel=dict({NETWORKS[name]})"
    torch.save({"state_dict": weights, "meta": {"cfg": config}}, "a.pth")
    checkpoint(Path("b.pth"), tmp_path / "ran")
    with rejected("a.pth"):
        lvt_core.load("a.pth")
    assert not (tmp_path / "ran").exists()


def test_good_weights_load(tmp_path: Path) -> None:
    source, target = (MODELS.build(NECK) for _ in range(2))
    torch.save({"state_dict": source.state_dict()}, tmp_path / "a.pth")
    load_checkpoint(target, str(tmp_path / "a.pth"), strict=True)
    for key, value in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[key], value)
