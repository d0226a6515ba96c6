"""Panoptic quality of a run, and its predictions as COCO's evaluation server wants them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from mmdet.registry import METRICS
from mmdet.structures import INSTANCE_OFFSET
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from PIL import Image

from lvt_core.errors import UserError
from lvt_core.files import write_text, write_whole
from lvt_core.panoptic.annotations import read_categories
from lvt_core.panoptic.quality import (
    VOID,
    Segment,
    check_map,
    count_matches,
    ids_to_rgb,
    panoptic_quality,
    read_map,
)


@METRICS.register_module()
class PanopticMetric(BaseMetric):
    """PQ, SQ and RQ over all classes, things (``_th``) and stuff (``_st``), in percent.

    The classes are the data set's; the truth is read from its maps, image by image, in every process.

    Args:
        ann_file: The data set's annotation file; needed for `output`, which has its category numbers.
        output: Where to write the predictions: ``<output>.json``, the folder ``<output>`` with a PNG map per
            image, and ``<output>.zip`` with both.
        results_file: JSON file to write: the metrics, how many classes they are means of, and those of each
            class (``null`` for a class that is neither there nor predicted).
        format_only: Write predictions, evaluate nothing; no truth is needed.
        classwise: Print every class's row too.
        collect_device: As in mmengine.
    """

    default_prefix = None

    def __init__(
        self,
        *,
        ann_file: str | None = None,
        output: str | None = None,
        results_file: str | None = None,
        format_only: bool = False,
        classwise: bool = False,
        collect_device: str = "cpu",
    ) -> None:
        super().__init__(collect_device=collect_device)
        if output and not ann_file:
            raise UserError("PanopticMetric.output: requires ann_file, for the category numbers")
        self.ann_file = ann_file
        self.output = output
        self.results_file = results_file
        self.format_only = format_only
        self.classwise = classwise

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count a batch's matches, and write its maps."""
        num_classes = len(self.dataset_meta["classes"])
        for sample in data_samples:
            prediction = sample["pred_panoptic_seg"]["sem_seg"][0].cpu().numpy()
            ids, segments = to_segments(prediction, num_classes)
            result: dict[str, Any] = {}
            if not self.format_only:
                truth_path = sample["seg_map_path"]
                if truth_path is None:
                    raise UserError(
                        f"{sample['img_path']}: has no truth; test.py --format-only works without"
                    )
                truth, truth_segments = read_truth(sample)
                if truth.shape != ids.shape:
                    raise UserError(
                        f"{truth_path}: {truth.shape[1]} x {truth.shape[0]} pixels, but its image has "
                        f"{ids.shape[1]} x {ids.shape[0]}"
                    )
                result["counts"] = count_matches(truth, truth_segments, ids, segments, num_classes)
            if self.output:
                result["annotation"] = self._write_map(sample, ids, segments)
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Percentages by name, from all processes' images."""
        if self.output and is_main_process():
            self._write_annotations([result["annotation"] for result in results])
        if self.format_only:
            return {}
        counts = sum(result["counts"] for result in results)
        metrics, classes = summarize(counts, self.dataset_meta)
        print_log("\n" + table(metrics, classes if self.classwise else {}), logger="current")
        if self.results_file and is_main_process():
            content = {name: _or_none(value) for name, value in metrics.items()}
            write_text(self.results_file, json.dumps({**content, "classes": classes}, indent=2) + "\n")
        return {name: value for name, value in metrics.items() if not name.startswith("N")}

    def _write_map(self, sample: dict, ids: np.ndarray, segments: Sequence[Segment]) -> dict[str, Any]:
        """Write an image's map; returns what the JSON file says about it, in the data set's labels."""
        name = Path(sample["file_name"]).with_suffix(".png").as_posix()
        picture = Image.fromarray(ids_to_rgb(ids))
        write_whole(Path(self.output or "") / name, partial(picture.save, format="PNG"))
        areas = np.bincount(ids.ravel())
        listed = [{"id": s.id, "category_id": s.label, "area": int(areas[s.id])} for s in segments]
        return {"image_id": sample["img_id"], "file_name": name, "segments_info": listed}

    def _write_annotations(self, annotations: Sequence[dict]) -> None:
        """Write the JSON file, with the annotation file's category numbers, and the archive."""
        numbers = {category.name: category.id for category in read_categories(self.ann_file or "")}
        names = self.dataset_meta["classes"]
        for annotation in annotations:
            for segment in annotation["segments_info"]:
                segment["category_id"] = numbers[names[segment["category_id"]]]
        text = json.dumps({"annotations": annotations})
        folder = Path(self.output or "")
        write_text(f"{folder}.json", text)

        def archive(file: BinaryIO) -> None:
            with zipfile.ZipFile(file, "w") as zipped:  # PNG files are compressed already
                zipped.writestr(f"{folder.name}.json", text, zipfile.ZIP_DEFLATED)
                for annotation in annotations:
                    name = annotation["file_name"]
                    zipped.write(folder / name, f"{folder.name}/{name}")

        write_whole(f"{folder}.zip", archive)


def to_segments(prediction: np.ndarray, num_classes: int) -> tuple[np.ndarray, list[Segment]]:
    """Split the network's map, label + 1000 · instance, into ids and segments; `num_classes` is void."""
    labels = prediction % INSTANCE_OFFSET
    # One more: a stuff class of label 0 would be void.
    ids = np.where(labels == num_classes, VOID, prediction + 1)
    segments = [Segment(int(i), int((i - 1) % INSTANCE_OFFSET)) for i in np.unique(ids) if i != VOID]
    return ids, segments


def read_truth(sample: dict) -> tuple[np.ndarray, list[Segment]]:
    """Read the true map of a sample, and its segments.

    Raises:
        UserError: The map cannot be read or does not fit the annotations.
    """
    listed = sample["segments_info"]
    ids = read_map(sample["seg_map_path"])
    check_map(ids, [entry["id"] for entry in listed], sample["seg_map_path"])
    return ids, [Segment(entry["id"], entry["category"], entry["is_crowd"]) for entry in listed]


def summarize(counts: np.ndarray, meta: dict[str, Any]) -> tuple[dict[str, float], dict[str, dict | None]]:
    """Means over the classes, and each class's values; classes without any segment do not count.

    Args:
        counts: Sum of `count_matches` over all images.
        meta: ``classes`` and, first in them, ``thing_classes``.
    """
    quality = panoptic_quality(counts)
    counted = ~np.isnan(quality["PQ"])
    num_things = len(meta["thing_classes"])
    metrics: dict[str, float] = {}
    for suffix, part in (("", slice(None)), ("_th", slice(num_things)), ("_st", slice(num_things, None))):
        chosen = counted[part]
        for name, values in quality.items():
            metrics[name + suffix] = float(values[part][chosen].mean()) if chosen.any() else float("nan")
        metrics["N" + suffix] = int(chosen.sum())
    classes = {
        name: {key: float(values[i]) for key, values in quality.items()} if counted[i] else None
        for i, name in enumerate(meta["classes"])
    }
    return metrics, classes


def table(metrics: dict[str, float], classes: dict[str, dict | None]) -> str:
    """Format the results as text."""
    lines = [f"{'':<26}{'PQ':>8}{'SQ':>8}{'RQ':>8}{'classes':>9}"]
    for name, suffix in (("all", ""), ("things", "_th"), ("stuff", "_st")):
        values = "".join(f"{metrics[key + suffix]:8.2f}" for key in ("PQ", "SQ", "RQ"))
        lines.append(f"{name:<26}{values}{metrics['N' + suffix]:>9}")
    for name, entry in classes.items():
        if entry is not None:
            lines.append(f"{name:<26}" + "".join(f"{entry[key]:8.2f}" for key in ("PQ", "SQ", "RQ")))
    return "\n".join(lines)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
