"""A picture per tested image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from PIL import Image, ImageOps

from lvt_core.files import require_writable_folder, write_whole
from lvt_core.visualize import segmentation_picture


@HOOKS.register_module()
class PicturesHook(Hook):
    """Write image, prediction, truth and errors of every tested image, side by side.

    Args:
        folder: Where to write ``<image's name>.png``; made if it is not there.
    """

    def __init__(self, *, folder: str) -> None:
        self.folder = require_writable_folder(folder)

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw the batch's images."""
        meta = runner.test_dataloader.dataset.metainfo
        for sample in outputs or ():
            picture = segmentation_picture(
                np.asarray(ImageOps.exif_transpose(Image.open(sample.img_path)).convert("RGB")),
                sample.pred_sem_seg.data.squeeze().cpu().numpy(),
                sample.gt_sem_seg.data.squeeze().cpu().numpy() if "gt_sem_seg" in sample else None,
                classes=meta["classes"],
                palette=meta["palette"],
            )
            path = self.folder / f"{Path(sample.img_path).stem}.png"
            write_whole(path, partial(picture.save, format="PNG"))
