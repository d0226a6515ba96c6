"""Contents of the page's part about semantic segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from demo.dense import PREDICTIONS, read_run
from demo.page.blocks import (
    Panel,
    class_table,
    command_blocks,
    duration,
    folded,
    legend,
    panel_row,
    png_uri,
    tiles,
)
from demo.page.segments import Segments, error_panel, read_picture
from demo.part import Shown
from demo.scenes.classes import COLORS, DIGIT_NAMES
from demo.segmentation.data import CLASSES
from demo.segmentation.run import DATA, TASK

LEAD = (
    "<p>SegFormer over LVT names every pixel of a scene: one of six kinds of background, or the digit there. "
    "The backbone starts from the classifier above, the head starts fresh.</p>"
)
SHOWN = 8


def preview(out: Path) -> Sequence[Panel]:
    """Read a training scene and its classes."""
    return [
        panel for name in scene_names(out, "training")[:1] for panel in truth_panels(out, "training", name)
    ]


def show_segmentation(out: Path) -> Shown:
    """Read a finished run, and describe it."""
    run, names = read_run(out / TASK.name), scene_names(out, "validation")
    backgrounds, digits = (f"{_mean_iou(run.classes, digits=digits):.1f} %" for digits in (False, True))
    numbers = [
        ("mIoU", f"{run.metrics['mIoU']:.1f} %", f"mean over {len(run.classes)} classes"),
        ("Backgrounds", backgrounds, "mean IoU of the six kinds"),
        ("Digits", digits, "mean IoU of the ten digits"),
        ("Pixels right", f"{run.metrics['aAcc']:.1f} %", f"in {len(names)} scenes"),
        ("Training time", duration(run.training_seconds), f"on {len(scene_names(out, 'training'))} scenes"),
    ]
    rows = "".join(panel_row(_panels(out, name)) for name in names[:SHOWN])
    body = [
        tiles(numbers),
        '<p class="quiet">IoU, intersection over union, is the area that prediction and truth share, divided '
        "by the area that either covers. Thin strokes lose much of it at their borders. No training scene or "
        "picture uses the scans of these digits. The weights are those after the last step, not chosen by "
        "this result.</p>",
        f"<h3>Validation scenes</h3><p>The first {min(SHOWN, len(names))} of {len(names)}.</p>",
        f'<div class="scenes">{rows}</div>{legend(COLORS)}',
        folded("Classes", class_table(run.classes, ("IoU",))),
        command_blocks(run.commands),
    ]
    return Shown("".join(body), {"miou": run.metrics["mIoU"]})


def scene_names(out: Path, folder: str) -> list[str]:
    """List the files of the scenes in ``training`` or ``validation``."""
    return sorted(path.name for path in (out / "data" / DATA / "images" / folder).iterdir())


def truth_panels(out: Path, folder: str, name: str) -> list[Panel]:
    """Read a scene and its true classes."""
    data = out / "data" / DATA
    truth = read_classes(data / "annotations" / folder / name)
    image = Panel(
        png_uri(data / "images" / folder / name), "image", f"scene: {', '.join(truth.names.values())}"
    )
    return [image, truth.panel("truth")]


def read_classes(path: Path) -> Segments:
    """Read a map of class numbers."""
    ids = read_picture(path)
    return Segments(ids, {number: CLASSES[number - 1] for number in np.unique(ids).tolist()})


def _panels(out: Path, name: str) -> list[Panel]:
    data = out / "data" / DATA
    predicted = read_classes(out / TASK.name / PREDICTIONS / name)
    image, truth = truth_panels(out, "validation", name)
    pixels = [read_picture(data / kind / "validation" / name) for kind in ("images", "annotations")]
    return [image, predicted.panel("prediction"), truth, error_panel(pixels[0], predicted.ids, pixels[1])]


def _mean_iou(classes: dict[str, dict[str, float] | None], *, digits: bool) -> float:
    """Return the mean over the digits or the backgrounds, in percent."""
    values = [entry["IoU"] for name, entry in classes.items() if entry and (name in DIGIT_NAMES) == digits]
    return sum(values) / len(values) if values else float("nan")
