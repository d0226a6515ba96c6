"""Opening pictures of the page and of the README: one scene, as each of the tasks sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from demo.classification.pictures import label_picture
from demo.classification.token_labels import token_label_map
from demo.dense import PREDICTIONS
from demo.page.segments import Segments
from demo.panoptic.data import file_name, panoptic_scene
from demo.panoptic.page import read_segments
from demo.panoptic.run import DATA, TASK
from demo.part import RECORD
from demo.scenes.classes import COLORS
from demo.scenes.compose import Scene
from demo.scenes.data_set import SETTINGS_FILE
from demo.segmentation.data import CLASSES
from demo.segmentation.run import TASK as SEGMENTATION_TASK, trained_segmentor
from lvt_core import SegFormer, SegFormerLabels
from lvt_core.predict.open_model import open_model

CELLS = 12  # per side, in the token-label map
DIGITS_SHOWN = 3


@dataclass(frozen=True)
class Opening:
    """Pictures of one scene.

    Attributes:
        pictures: Pictures, uint8 (H, W, 3), by caption; those of unfinished tasks are left out.
        names: Classes in the scene.
    """

    pictures: dict[str, np.ndarray]
    names: tuple[str, ...]


def read_opening(out: Path) -> Opening:
    """Show one validation scene of the tour as the tasks see it.

    Args:
        out: Folder of the tour.
    """
    data = out / "data" / DATA
    if not (data / SETTINGS_FILE).is_file():
        return Opening({}, ())
    index, scene = _choose_scene(json.loads((data / SETTINGS_FILE).read_text(encoding="utf-8")))
    labels = token_label_map(scene, cells=CELLS)
    pictures = {"image": scene.image, "token labels": label_picture(scene.image, labels)}
    if (out / SEGMENTATION_TASK.name / RECORD).exists():
        pictures["segments"] = _segment(trained_segmentor(out), scene.image).picture()
    if (out / TASK.name / RECORD).exists():
        segments = read_segments(out / TASK.name / PREDICTIONS, file_name(index))
        pictures["panoptic segments"] = segments.picture()
    truth = read_segments(data / "annotations" / "panoptic_val2017", file_name(index))
    return Opening(pictures, tuple(name for name in COLORS if name in truth.names.values()))


def _choose_scene(settings: dict) -> tuple[int, Scene]:
    """Choose the first validation scene with three different digits, or else the last scene."""
    for index in range(settings["val"]):
        scene = panoptic_scene("val", index, seed=settings["seed"])
        if len({thing.digit for thing in scene.objects}) >= DIGITS_SHOWN:
            break
    return index, scene


@torch.inference_mode()
def _segment(checkpoint: Path, image: np.ndarray) -> Segments:
    """Run the trained segmentor on an image, uint8 (H, W, 3)."""
    model = open_model(str(checkpoint)).model
    assert isinstance(model, SegFormer)
    pixels = (image / 255 - np.array(IMAGENET_DEFAULT_MEAN)) / np.array(IMAGENET_DEFAULT_STD)  # (H, W, 3)
    batch = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]  # (1, 3, H, W)
    labels = SegFormerLabels(model).eval()(batch)[0].numpy()  # (H, W)
    return Segments(labels, {label: CLASSES[label] for label in np.unique(labels).tolist()})
