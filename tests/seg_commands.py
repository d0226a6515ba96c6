"""The commands of segmentation/ on a tiny network, for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from lvt_core import SegFormer, save_checkpoint
from lvt_core.checkpoint.names import to_lvt
from lvt_core.checkpoint.read import read_checkpoint
from lvt_core.config import LVTConfig
from tests.commands import ROOT, run

TASK = ROOT / "segmentation"
TINY = LVTConfig(embed_dims=(8, 8, 16, 16), num_heads=(2, 2, 2, 2), depths=(1, 1, 1, 1), num_classes=3)


def seg(*command: object, **kwargs):
    return run(*command, task=TASK, **kwargs)


def train(config: Path, work_dir: Path, *options: object, **kwargs):
    return seg("tools/train.py", config, "--work-dir", work_dir, "--seed", 0, *options, **kwargs)


def tiny_file(path: Path, *, num_classes: int = 3) -> Path:
    torch.manual_seed(1)
    config = LVTConfig(**{**vars(TINY), "num_classes": num_classes})
    save_checkpoint(SegFormer(config, embed_dim=16), path)
    return path


def content(path: Path) -> dict:
    return read_checkpoint(path)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return to_lvt(content(path)["state_dict"])
