"""The commands of detection/ on a tiny network, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

import lvt_det  # noqa: F401  (registers)
from commands import ROOT, run
from lvt_core import save_checkpoint
from lvt_core.checkpoint_keys import to_lvt
from lvt_core.openmmlab.commands import load_config, without_pretrained

TASK = ROOT / "detection"
CONFIGS = ROOT / "configs" / "detection"
# Neither in the order of their numbers, nor things first: ours must not care.
CATEGORIES = [
    {"id": 30, "name": "sky", "isthing": 0},
    {"id": 20, "name": "box", "isthing": 1},
    {"id": 10, "name": "grass", "isthing": 0},
    {"id": 5, "name": "square", "isthing": 1},
]
TINY_MODEL = """
model = dict(
    backbone=dict(embed_dims=(8, 8, 16, 16), num_heads=(2, 2, 2, 2), depths=(1, 1, 1, 1), drop_path_rate=0.0),
    neck=dict(in_channels=[8, 8, 16, 16], out_channels=12),
    rpn_head=dict(in_channels=12, feat_channels=12),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=12),
        bbox_head=dict(in_channels=12, fc_out_channels=16),
        mask_roi_extractor=dict(out_channels=12),
        mask_head=dict(in_channels=12, conv_out_channels=12, num_convs=1),
    ),
    semantic_head=dict(in_channels=12, inner_channels=12, norm_cfg=dict(num_groups=2)),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=50, max_per_img=20), rcnn=dict(sampler=dict(num=16))
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=50, max_per_img=20), rcnn=dict(score_thr=0.05), panoptic=dict(stuff_area_limit=80)
    ),
)
"""


def det(*command: object, **kwargs: Any):
    return run(*command, task=TASK, **kwargs)


def train(config: Path, work_dir: Path, *options: object, **kwargs: Any):
    return det("tools/train.py", config, "--work-dir", work_dir, "--seed", 0, *options, **kwargs)


def build(path: Path, **options: Any):
    """A config's model with fresh weights, the same each time."""
    init_default_scope("mmdet")
    cfg = load_config(path, options)
    without_pretrained(cfg.model)
    torch.manual_seed(1)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return cfg, model.eval()


def tiny_file(config: Path, path: Path) -> Path:
    """A checkpoint of the config's model, in our names."""
    save_checkpoint(to_lvt(build(config)[1].state_dict()), path)
    return path


def edit_json(path: str, change) -> None:
    """Change an annotation file in place."""
    content = json.loads(Path(path).read_text())
    change(content)
    Path(path).write_text(json.dumps(content))
