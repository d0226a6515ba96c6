"""A picture per tested image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from mmdet.registry import HOOKS
from mmengine.hooks import Hook

from lvt_core.files import require_writable_folder, write_whole
from lvt_det.metrics import read_truth, to_segments
from lvt_predict.photo.drawing import panoptic_picture
from lvt_predict.pictures import read_picture


@HOOKS.register_module()
class PanopticPicturesHook(Hook):
    """Write image, prediction and truth of every tested image, side by side.

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
            prediction = sample.pred_panoptic_seg.sem_seg[0].cpu().numpy()
            seen = to_segments(prediction, len(meta["classes"]))
            truth = read_truth(sample.metainfo) if sample.metainfo.get("seg_map_path") else None
            picture = panoptic_picture(
                np.asarray(read_picture(sample.img_path)),
                (seen[0], {s.id: s.label for s in seen[1]}),
                truth and (truth[0], {s.id: s.label for s in truth[1]}),
                classes=meta["classes"],
                palette=meta["palette"],
                num_things=len(meta["thing_classes"]),
            )
            path = (self.folder / sample.file_name).with_suffix(".png")
            write_whole(path, partial(picture.save, format="PNG"))
