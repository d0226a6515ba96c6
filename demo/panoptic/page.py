"""Contents of the page's part about panoptic segmentation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

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
from demo.page.segments import Segments
from demo.panoptic.data import STUFF, THINGS
from demo.panoptic.run import DATA, TASK
from demo.part import Shown
from demo.scenes.classes import COLORS
from lvt_core.panoptic.quality import read_map

LEAD = (
    "<p>Panoptic FPN over LVT gives every pixel a class, and tells the digits apart: two digits of one class "
    "are two instances. The backbone starts from the segmentor above, the heads start fresh.</p>"
)
SHOWN = 8
NAMES = (*THINGS, *STUFF)  # in the order of the category numbers


def preview(out: Path) -> Sequence[Panel]:
    """Read a training scene and its segments."""
    return truth_panels(out, "train", scene_names(out, "train")[0])


def show_panoptic(out: Path) -> Shown:
    """Read a finished run, and describe it."""
    run, names = read_run(out / TASK.name), scene_names(out, "val")
    metrics = run.metrics
    numbers = [
        ("PQ", f"{metrics['PQ']:.1f} %", f"mean over {metrics['N']:.0f} classes"),
        ("Things", f"{metrics['PQ_th']:.1f} %", "PQ of the ten digits"),
        ("Stuff", f"{metrics['PQ_st']:.1f} %", "PQ of the six backgrounds"),
        ("Recognition", f"{metrics['RQ_th']:.1f} %", f"RQ of the digits, in {len(names)} scenes"),
        ("Training time", duration(run.training_seconds), f"on {len(scene_names(out, 'train'))} scenes"),
    ]
    rows = "".join(panel_row(_panels(out, name)) for name in names[:SHOWN])
    body = [
        tiles(numbers),
        '<p class="quiet">PQ, panoptic quality, is segmentation quality (SQ, the mean overlap of the matched '
        "segments) times recognition quality (RQ, the share of segments that are matched). Segments match if "
        "they have one class and overlap by more than half. No training scene or picture uses the scans of "
        "these digits. The weights are those after the last epoch, not chosen by this result.</p>",
        f"<h3>Validation scenes</h3><p>The first {min(SHOWN, len(names))} of {len(names)}. A second instance "
        "of a class is darker; black pixels have no segment.</p>",
        f'<div class="scenes">{rows}</div>{legend(COLORS)}',
        folded("Things and stuff", class_table(run.classes, ("PQ", "SQ", "RQ"))),
        command_blocks(run.commands),
    ]
    headlines = {"pq": "PQ", "pq_things": "PQ_th", "pq_stuff": "PQ_st"}
    return Shown("".join(body), {ours: metrics[name] for ours, name in headlines.items()})


def scene_names(out: Path, split: str) -> list[str]:
    """List the files of the scenes of a split."""
    return sorted(path.name for path in (out / "data" / DATA / f"{split}2017").iterdir())


def truth_panels(out: Path, split: str, name: str) -> list[Panel]:
    """Read a scene and its true segments."""
    data = out / "data" / DATA
    truth = read_segments(data / "annotations" / f"panoptic_{split}2017", name)
    image = png_uri(data / f"{split}2017" / name)
    return [Panel(image, "image", f"scene: {', '.join(truth.names.values())}"), truth.panel("truth")]


def predicted_segments(out: Path, name: str) -> Segments:
    """Read the predicted segments of a validation scene."""
    return read_segments(out / TASK.name / PREDICTIONS, name)


def read_segments(folder: Path, name: str) -> Segments:
    """Read segments in COCO's panoptic format.

    Args:
        folder: Folder of the maps; ``<folder>.json`` lists their segments.
        name: File name of the image and its map.
    """
    annotations = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))["annotations"]
    listed = next(entry["segments_info"] for entry in annotations if entry["file_name"] == name)
    names = {segment["id"]: NAMES[segment["category_id"] - 1] for segment in listed}
    return Segments(read_map(folder / name), names)


def _panels(out: Path, name: str) -> list[Panel]:
    image, truth = truth_panels(out, "val", name)
    return [image, predicted_segments(out, name).panel("prediction"), truth]
