"""A picture per tested image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from lvt_core.files import require_writable_folder, write_whole
from lvt_predict.photo.drawing import segmentation_picture
from lvt_predict.pictures import read_picture
from lvt_seg.datasets import output_file


@HOOKS.register_module()
class PicturesHook(Hook):
    """Write image, prediction, truth and errors of every tested image, side by side.

    Args:
        folder: Folder to write ``<image's name>.png`` into; made if it does not exist.
        image_folders: Folders of images; pictures of files below them keep their path.
    """

    def __init__(self, *, folder: str, image_folders: Sequence[str] = ()) -> None:
        self.folder = require_writable_folder(folder)
        self.image_folders = image_folders

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw the batch's images."""
        meta = runner.test_dataloader.dataset.metainfo
        for sample in outputs or ():
            picture = segmentation_picture(
                np.asarray(read_picture(sample.img_path)),
                sample.pred_sem_seg.data[0].cpu().numpy(),
                sample.gt_sem_seg.data[0].cpu().numpy() if "gt_sem_seg" in sample else None,
                classes=meta["classes"],
                palette=meta["palette"],
            )
            path = output_file(self.folder, sample.img_path, self.image_folders)
            write_whole(path, partial(picture.save, format="PNG"))
