"""The commands of detection/ on a tiny network, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from PIL import Image

import lvt_det  # noqa: F401  (registers)
from lvt_core import save_checkpoint
from lvt_core.checkpoint.names import to_lvt
from lvt_core.openmmlab.commands import load_config, without_pretrained
from lvt_core.panoptic.quality import ids_to_rgb
from lvt_det.own_config import Split
from tests.commands import ROOT, run

ODD = [None, True, 1.5, "x", [], [1], {}, {"a": 1}, float("nan"), 10**99]  # values of JSON
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


def write_panoptic_data(root: Path, split: str, count: int, *, size: tuple[int, int] = (64, 96)) -> Split:
    """Two squares on a background of two kinds of stuff; the first image's last square is a crowd."""
    rng = np.random.default_rng(count)
    images, maps = root / split, root / f"maps_{split}"
    images.mkdir(parents=True)
    maps.mkdir()
    listed: dict[str, list] = {"images": [], "annotations": [], "categories": CATEGORIES}
    for i in range(count):
        ids = np.full(size, 70000 + i, np.int32)  # above 65536: all three channels count
        ids[:, size[1] // 2 :] = 300
        ids[:4] = 0
        labels = {70000 + i: 10, 300: 30}
        for number, (top, left) in enumerate(((10, 8), (24, 60))):
            ids[top : top + 28, left : left + 28] = 500 + number
            labels[500 + number] = 5 if (i + number) % 2 else 20
        pixels = rng.integers(0, 60, (*size, 3))
        for segment, category in labels.items():
            pixels[ids == segment, category % 3] += 150 if category in (5, 20) else 60
        Image.fromarray(pixels.astype(np.uint8)).save(images / f"p{i:02d}.png")
        Image.fromarray(ids_to_rgb(ids)).save(maps / f"p{i:02d}.png")
        segments = []
        for segment, category in labels.items():
            rows, columns = np.nonzero(ids == segment)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            crowd = int(i == 0 and segment == 501)
            entry = {"id": segment, "category_id": category, "iscrowd": crowd, "area": len(rows)}
            segments.append({**entry, "bbox": [int(v) for v in box]})
        listed["images"].append(
            {"id": 7 + i, "file_name": f"p{i:02d}.png", "height": size[0], "width": size[1]}
        )
        listed["annotations"].append(
            {"image_id": 7 + i, "file_name": f"p{i:02d}.png", "segments_info": segments}
        )
    path = root / f"{split}.json"
    path.write_text(json.dumps(listed))
    return Split(str(images), str(path), str(maps))


def det(*command: object, **kwargs: Any):
    return run(*command, task=TASK, **kwargs)


def train(config: Path, work_dir: Path, *options: object, **kwargs: Any):
    return det("tools/train.py", config, "--work-dir", work_dir, "--seed", 0, *options, **kwargs)


def build(path: Path, **options: Any):
    """Return a config's model with fresh weights, the same each time."""
    init_default_scope("mmdet")
    cfg = load_config(path, options)
    without_pretrained(cfg.model)
    torch.manual_seed(1)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return cfg, model.eval()


def tiny_file(config: Path, path: Path) -> Path:
    """Return a checkpoint of the config's model, in our names."""
    save_checkpoint(to_lvt(build(config)[1].state_dict()), path)
    return path


def edit_json(path: str, change) -> None:
    """Change an annotation file in place."""
    content = json.loads(Path(path).read_text())
    change(content)
    Path(path).write_text(json.dumps(content))
