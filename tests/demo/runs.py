"""Finished runs with made-up results, for tests of the demo's page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from PIL import Image

from demo.classification.data import ClassificationData
from demo.panoptic.data import STUFF, THINGS, PanopticData
from demo.scenes.backgrounds import BACKGROUNDS
from demo.segmentation.data import CLASSES, SegmentationData
from lvt_core import LVTConfig, SegFormer, save_checkpoint

DIGITS = ClassificationData(train_per_scan=1, scan_step=70)
SCENES = SegmentationData(train=3, val=2)
INSTANCES = PanopticData(train=3, val=2)
COMMANDS = {"commands": ["python tools/train.py --aa '' --x '<b>'"], "training_seconds": 200.4}


def finished_classification(out: Path) -> None:
    """Write a run that reads every picture of a 4 as `<9>`."""
    data, folder = out / "data" / "classification", out / "classification"
    DIGITS.make(data)
    (folder / "digits").mkdir(parents=True)
    epochs = [
        {"epoch": n, "lr": 1e-3, "train_loss": 2.0 - n, "eval_loss": 1.0, "eval_top1": 60 + 10 * n}
        for n in range(2)
    ]
    _write_csv(folder / "digits" / "summary.csv", epochs)
    predictions = []
    for picture in sorted((data / "val").glob("*/*.png")):
        label = int(picture.parent.name.removeprefix("digit_"))
        wrong = label == 4
        predictions.append(
            {
                "file": picture.relative_to(data / "val").as_posix(),
                "label": label,
                "label_name": picture.parent.name,
                "prediction": 9 if wrong else label,
                "prediction_name": "<9>" if wrong else picture.parent.name,
                "confidence": 0.875,
            }
        )
    _write_csv(folder / "predictions.csv", predictions)
    results = {"top1": 90.0, "params": 3352810, "gmacs": 0.0731, "images_per_second": 412.3}
    (folder / "results.json").write_text(json.dumps([results]))
    (folder / "run.json").write_text(json.dumps(COMMANDS))


def finished_segmentation(out: Path) -> None:
    """Write a run of an untrained network in which one background and one digit never occur."""
    data, folder = out / "data" / "segmentation", out / "segmentation"
    SCENES.make(data)
    (folder / "predictions").mkdir(parents=True)
    for path in (data / "annotations" / "validation").iterdir():
        labels = Image.open(path)
        labels.paste(5, (0, 0, labels.width, labels.height // 2))
        labels.save(folder / "predictions" / path.name)
    model = SegFormer(LVTConfig(num_classes=len(CLASSES), depths=(1, 1, 1, 1)), embed_dim=128)
    (folder / "digits").mkdir()
    save_checkpoint(model.state_dict(), folder / "digits" / "iter_1.pth")
    iou = {name: {"IoU": 90.0 if name in BACKGROUNDS else 70.0, "Acc": 1.0} for name in CLASSES}
    iou["sky"]["IoU"] = iou["digit 3"]["IoU"] = None
    results = {"aAcc": 95.5, "mIoU": 77.25, "mAcc": 80.0, "classes": iou}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "run.json").write_text(json.dumps(COMMANDS))


def finished_panoptic(out: Path) -> None:
    """Write a run whose predictions are the truth; one digit never occurs."""
    data, folder = out / "data" / "panoptic", out / "detection"
    INSTANCES.make(data)
    folder.mkdir(parents=True)
    truth = data / "annotations" / "panoptic_val2017"
    (folder / "predictions").symlink_to(truth)
    (folder / "predictions.json").symlink_to(truth.with_suffix(".json"))
    quality: dict[str, dict | None] = {
        name: {"PQ": 61.5, "SQ": 82.0, "RQ": 75.0} for name in (*THINGS, *STUFF)
    }
    quality["digit 3"] = None
    means = {"N": 15, "PQ": 60.25, "PQ_th": 65.5, "PQ_st": 50.5, "RQ_th": 81.5}
    (folder / "results.json").write_text(json.dumps({**means, "classes": quality}))
    (folder / "run.json").write_text(json.dumps(COMMANDS))


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
