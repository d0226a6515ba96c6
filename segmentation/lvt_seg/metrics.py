"""mIoU, exact however many pixels there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image

from lvt_core.files import write_text, write_whole
from lvt_core.semantic.iou import areas, count_pairs
from lvt_seg.datasets import output_file


@METRICS.register_module()
class SegmentationMetric(IoUMetric):
    """mmsegmentation's `IoUMetric` with exact sums, results that are not rounded, and a file per class.

    The base class counts pixels in float32, which stops at 16.8 million of a class, in one image too, and
    rounds its results to 0.01 %.

    Args:
        results_file: JSON file to write: every metric, and under ``classes`` those of each class, in percent
            (``null`` for a class that is neither there nor predicted).
        output_dir: Folder for the predictions in the evaluation server's format: PNG files named like the
            images, with the numbers of the data set's own masks.
        image_folders: Folders of images; files below them keep their path.
        options: Options of `IoUMetric`.
    """

    def __init__(
        self,
        *,
        results_file: str | None = None,
        output_dir: str | None = None,
        image_folders: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.results_file = results_file
        self.predictions = output_dir
        self.image_folders = image_folders

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count a batch's pixels, and write its predictions."""
        for sample in data_samples:
            labels = sample["pred_sem_seg"]["data"][0].cpu().numpy()
            if not self.format_only:
                truth = sample["gt_sem_seg"]["data"][0].cpu().numpy()
                self.results.append(areas(count_pairs(truth, labels, len(self.dataset_meta["classes"]))))
            if self.predictions is not None:
                self._write(sample, labels)

    def _write(self, sample: dict, labels: np.ndarray) -> None:
        """Write a prediction in the numbers of the data set's masks."""
        numbers = self.dataset_meta.get("mask_values")
        if numbers is None:
            first = int(sample.get("reduce_zero_label", False))
            numbers = range(first, first + len(self.dataset_meta["classes"]))
        table = np.array(numbers, np.uint16 if max(numbers) > np.iinfo(np.uint8).max else np.uint8)
        picture = Image.fromarray(table[labels])
        path = output_file(self.predictions or "", sample["img_path"], self.image_folders)
        write_whole(path, partial(picture.save, format="PNG"))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Percentages by name: ``aAcc``, and the mean over the classes of each metric."""
        if self.format_only:
            return {}
        total = torch.from_numpy(np.sum(results, axis=0)).double()  # exact to 2^53 pixels
        totals = tuple(total)
        super().compute_metrics([totals])  # prints the table
        values = self.total_area_to_metrics(*totals, self.metrics, self.nan_to_num, self.beta)
        accuracy = 100 * float(values.pop("aAcc"))
        percent = {name: 100 * value for name, value in values.items()}
        means = {f"m{name}": float(np.nanmean(value)) for name, value in percent.items()}
        metrics = {"aAcc": accuracy, **means}
        if self.results_file and is_main_process():
            classes = {
                label: {name: _or_none(value[i]) for name, value in percent.items()}
                for i, label in enumerate(self.dataset_meta["classes"])
            }
            content = {**{name: _or_none(value) for name, value in metrics.items()}, "classes": classes}
            write_text(self.results_file, json.dumps(content, indent=2) + "\n")
        return metrics


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
