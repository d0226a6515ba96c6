"""mIoU, exact however many pixels there are."""

from __future__ import annotations

import json
from typing import Any

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
        per_class_file: JSON file to write: every metric of every class, in percent (``null`` for a class
            that is neither there nor predicted).
        options: Those of `IoUMetric`.
    """

    def __init__(self, *, per_class_file: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.per_class_file = per_class_file

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Percentages by name: ``aAcc``, and the mean over the classes of each metric."""
        exact = [tuple(area.double() for area in areas) for areas in results]
        summary = super().compute_metrics(exact)  # prints the table
        if self.format_only:
            return summary
        totals = [sum(areas) for areas in zip(*exact, strict=True)]
        values = self.total_area_to_metrics(*totals, self.metrics, self.nan_to_num, self.beta)
        percent = {name: value * 100 for name, value in values.items()}
        if self.per_class_file and is_main_process():
            classes = self.dataset_meta["classes"]
            table = {
                label: {
                    name: None if value[i] != value[i] else float(value[i])
                    for name, value in percent.items()
                    if name != "aAcc"
                }
                for i, label in enumerate(classes)
            }
            write_text(self.per_class_file, json.dumps(table, indent=2) + "\n")
        return {
            name if name == "aAcc" else f"m{name}": float(
                value[value == value].mean() if value.ndim else value
            )
            for name, value in percent.items()
        }
