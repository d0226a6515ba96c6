"""mIoU against a confusion matrix counted here, and against mmsegmentation's own metric."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric
from PIL import Image

from lvt_seg.metrics import SegmentationMetric

CLASSES = tuple("abcdefg")


def samples(count: int = 5, classes: int = len(CLASSES), size=(37, 53)) -> list[dict]:
    """Predictions that are right half of the time; the last class never occurs; 255 does not count."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        truth = rng.integers(0, classes - 1, size)
        prediction = np.where(rng.random(size) < 0.5, truth, rng.integers(0, classes - 1, size))
        truth[rng.random(size) < 0.1] = 255
        found.append(
            {
                "pred_sem_seg": {"data": torch.from_numpy(prediction)[None]},
                "gt_sem_seg": {"data": torch.from_numpy(truth)[None]},
                "img_path": "x.png",
            }
        )
    return found


def confusion(found: list[dict]) -> np.ndarray:
    """Rows: truth; columns: prediction."""
    matrix = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    for sample in found:
        truth = sample["gt_sem_seg"]["data"].numpy().ravel()
        prediction = sample["pred_sem_seg"]["data"].numpy().ravel()
        for t, p in zip(truth, prediction, strict=True):
            if t != 255:
                matrix[t, p] += 1
    return matrix


def evaluate(found: list[dict], **options) -> dict[str, float]:
    metric = SegmentationMetric(iou_metrics=["mIoU", "mDice"], **options)
    metric.dataset_meta = {"classes": CLASSES}
    metric.process({}, found)
    return metric.compute_metrics(metric.results)


def test_equals_a_confusion_matrix_and_mmsegmentation(tmp_path) -> None:
    found = samples()
    matrix = confusion(found)
    with np.errstate(invalid="ignore"):
        iou = np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
        accuracy = np.diag(matrix) / matrix.sum(1)
        dice = 2 * np.diag(matrix) / (matrix.sum(0) + matrix.sum(1))
    path = tmp_path / "results.json"
    ours = evaluate(found, results_file=str(path))
    assert ours["mIoU"] / 100 == pytest.approx(np.nanmean(iou), abs=1e-6)
    assert ours["mAcc"] / 100 == pytest.approx(np.nanmean(accuracy), abs=1e-6)
    assert ours["mDice"] / 100 == pytest.approx(np.nanmean(dice), abs=1e-6)
    assert ours["aAcc"] / 100 == pytest.approx(np.diag(matrix).sum() / matrix.sum(), abs=1e-6)

    theirs = IoUMetric(iou_metrics=["mIoU"])
    theirs.dataset_meta = {"classes": CLASSES}
    theirs.process({}, found)
    totals = [sum(areas) for areas in zip(*theirs.results, strict=True)]
    unrounded = theirs.total_area_to_metrics(*totals, ["mIoU"])
    assert ours["mIoU"] / 100 == pytest.approx(np.nanmean(unrounded["IoU"]), abs=1e-6)
    assert theirs.compute_metrics(theirs.results)["mIoU"] == round(ours["mIoU"], 2)

    written = json.loads(path.read_text())
    assert written["mIoU"] == ours["mIoU"]
    assert written["classes"]["a"]["IoU"] == pytest.approx(100 * iou[0])
    assert written["classes"]["g"]["IoU"] is None  # never there, never predicted


def flat_sample(truth: np.ndarray, prediction: np.ndarray) -> dict:
    return {
        "pred_sem_seg": {"data": torch.from_numpy(prediction)[None]},
        "gt_sem_seg": {"data": torch.from_numpy(truth)[None]},
        "img_path": "x.png",
    }


def test_one_image_of_24_megapixels_is_counted_exactly() -> None:
    """A histogram in float32 stops at 2^24: accuracy 100 and mIoU 50."""
    truth = np.zeros((4000, 6000), np.uint8)
    truth[3000:] = 1
    metrics = evaluate([flat_sample(truth, np.zeros_like(truth))])
    assert metrics["aAcc"] == pytest.approx(75, abs=1e-9)
    assert metrics["mIoU"] == pytest.approx(37.5, abs=1e-9)


def test_sums_of_images_stay_exact() -> None:
    """Many images of 2^24 + 1 and of 3 pixels; float32 sums lose the ones."""
    metric = SegmentationMetric(iou_metrics=["mIoU"])
    metric.dataset_meta = {"classes": ("a", "b")}
    big, small = np.zeros((1, 2**24 + 1), np.uint8), np.array([[0, 1, 1]], np.uint8)
    metric.process({}, [flat_sample(big, big), flat_sample(small, np.zeros_like(small))])
    large, little = metric.results
    metrics = metric.compute_metrics([large] * 60 + [little] * 1000)
    right, wrong = 60 * (2**24 + 1) + 1000, 2000
    assert metrics["aAcc"] / 100 == pytest.approx(right / (right + wrong), abs=1e-13)


def test_an_image_of_one_row_is_written(tmp_path) -> None:
    row = np.array([[0, 1, 1, 0]], np.uint8)
    evaluate([flat_sample(row, row)], output_dir=str(tmp_path))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png")), row)


def test_predictions_have_the_values_of_the_masks(tmp_path) -> None:
    """Masks of 0 and 255, or of 16 bits, get predictions of the same values."""
    metric = SegmentationMetric(iou_metrics=["mIoU"], output_dir=str(tmp_path))
    labels = np.array([[0, 1], [1, 0]], np.uint8)
    for values in ([0, 255], [7, 1000]):
        metric.dataset_meta = {"classes": ("a", "b"), "mask_values": values}
        metric.process({}, [flat_sample(labels, labels)])
        written = np.asarray(Image.open(tmp_path / "x.png"))
        np.testing.assert_array_equal(written, np.array(values)[labels])
