"""mmdetection's own ways to run a network work with our configs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from PIL import Image

from tests.det_commands import build


@pytest.fixture
def checkpoint(config: Path, tmp_path: Path) -> Path:
    """Return a checkpoint as a training run writes it, with the data set's classes."""
    cfg, model = build(config)
    meta = {"dataset_meta": dict(cfg.test_dataloader.dataset.metainfo.to_dict())}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


def test_inference_detector(config: Path, checkpoint: Path, photo: Path) -> None:
    model = init_detector(str(config), str(checkpoint), device="cpu")
    for source in (str(photo), np.asarray(Image.open(photo))[..., ::-1]):
        result = inference_detector(model, source)
        assert result.pred_panoptic_seg.sem_seg.shape[-2:] == (50, 70)


def test_the_inferencer(config: Path, checkpoint: Path, photo: Path, tmp_path: Path) -> None:
    inferencer = DetInferencer(str(config), str(checkpoint), device="cpu")
    # Plain dictionaries of panoptic maps would need panopticapi, which is not on the package index.
    result = inferencer(str(photo), out_dir=str(tmp_path / "out"), return_datasamples=True, no_save_pred=True)
    (sample,) = result["predictions"]
    assert sample.pred_panoptic_seg.sem_seg.shape[-2:] == (50, 70)
    assert (tmp_path / "out/vis/photo.jpg").exists()


@pytest.mark.parametrize(
    "imports", ["lvt_core.openmmlab, mmdet.models", "lvt_det", "lvt_seg, lvt_det", "lvt_det, lvt_seg"]
)
def test_any_import_brings_the_operators(imports: str) -> None:
    code = f"import {imports}, mmcv.ops, torch; mmcv.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
