"""mIoU, exact however many pixels there are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from lvt_core.files import write_text


@METRICS.register_module()
class SegmentationMetric(IoUMetric):
    """mmsegmentation's `IoUMetric` with exact sums, results that are not rounded, and a file per class.

    The base class adds up pixel counts in float32, which stops counting singly at 16.8 million pixels of a
    class, and rounds its results to 0.01 %.

    Args:
        results_file: JSON file to write: every metric, and under ``classes`` those of each class, in percent
            (``null`` for a class that is neither there nor predicted).
        options: Those of `IoUMetric`.
    """

    def __init__(self, *, results_file: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.results_file = results_file

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Percentages by name: ``aAcc``, and the mean over the classes of each metric."""
        exact = [tuple(area.double() for area in areas) for areas in results]
        summary = super().compute_metrics(exact)  # prints the table
        if self.format_only:
            return summary
        totals = [sum(areas) for areas in zip(*exact, strict=True)]
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
            write_text(self.results_file, json.dumps({**metrics, "classes": classes}, indent=2) + "\n")
        return metrics


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
