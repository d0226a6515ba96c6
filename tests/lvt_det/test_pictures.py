"""The pictures of --show-dir show what the network saw."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from PIL import Image

from lvt_det.pictures import PanopticPicturesHook


def test_sixteen_bits_are_drawn_as_they_are_read(tmp_path: Path) -> None:
    """Pillow's own conversion makes them white."""
    grey = np.full((64, 96), 100 * 256, np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    meta = {"img_path": str(tmp_path / "grey.png"), "file_name": "grey.png"}
    sample = DetDataSample(metainfo=meta)
    sample.pred_panoptic_seg = PixelData(sem_seg=torch.full((1, 64, 96), 1, dtype=torch.int32))
    described = {"classes": ("a", "b"), "thing_classes": ("a",), "palette": [[9, 9, 9], [99, 99, 99]]}
    dataset = SimpleNamespace(metainfo=described)
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    PanopticPicturesHook(folder=str(tmp_path / "show")).after_test_iter(runner, 0, outputs=[sample])
    drawn = np.asarray(Image.open(tmp_path / "show/grey.png").convert("RGB"))
    assert (drawn[:64, :96] == 100).mean() > 0.5
