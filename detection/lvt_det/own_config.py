"""Configs for custom panoptic data: a written file has the values, `settings` the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvt_core.openmmlab.own_data import write_config
from lvt_predict.photo.classes import distinct_colors

BASE = Path(__file__).resolve().parent / "configs/lvt/panoptic_fpn_lvt_fpn_1x_coco.py"


@dataclass(frozen=True)
class Split:
    """Training or validation data in COCO's panoptic layout.

    Attributes:
        images: Folder of images.
        annotations: JSON file.
        maps: Folder of PNG maps.
    """

    images: str
    annotations: str
    maps: str


@dataclass(frozen=True)
class OwnData:
    """The values of a config.

    Attributes:
        things: Names of the classes with instances.
        stuff: Names of the other classes.
        train: Training data.
        val: Validation data.
        short_side: Short side of resized images in testing, in pixels; training starts at 0.8 of it.
        long_side: Largest long side of resized images, in pixels.
        stuff_area_limit: Least pixels of stuff in an image; smaller stuff is dropped.
        epochs: Passes over the training images.
        batch_size: Images per step and process.
        lr: Learning rate.
        workers: Data-loading processes of each process.
        pretrained: File of the backbone's weights, or ``None`` to train from scratch.
        flip: Probability of mirroring in training.
    """

    things: Sequence[str]
    stuff: Sequence[str]
    train: Split
    val: Split
    short_side: int
    long_side: int
    stuff_area_limit: int
    epochs: int
    batch_size: int
    lr: float
    workers: int
    pretrained: str | None
    flip: float = 0.5


def write_own_config(path: Path, data: OwnData) -> None:
    """Write a config that inherits the COCO one.

    Raises:
        UserError: Another config exists there, edited or with other options.
    """
    values = {
        "things": list(data.things),
        "stuff": list(data.stuff),
        "palette": distinct_colors(len(data.things) + len(data.stuff)),
        "train": vars(data.train),
        "val": vars(data.val),
        "short_side": data.short_side,
        "long_side": data.long_side,
        "stuff_area_limit": data.stuff_area_limit,
        "max_epochs": data.epochs,
        "batch_size": data.batch_size,
        "workers": data.workers,
        "checkpoint": data.pretrained,
        "lr": data.lr,
        "flip": data.flip,
    }
    comments = {
        "stuff_area_limit": "pixels of the image in its own size; smaller stuff is dropped",
        "batch_size": "images per process",
        "checkpoint": "the backbone's weights; None: from scratch",
    }
    title = f"Panoptic FPN with LVT on {len(data.things)} things and {len(data.stuff)} kinds of stuff"
    write_config(path, title, base=BASE, package="lvt_det", values=values, comments=comments)


def settings(
    *,
    things: list[str],
    stuff: list[str],
    palette: list[list[int]],
    train: dict[str, str],
    val: dict[str, str],
    short_side: int,
    long_side: int,
    stuff_area_limit: int,
    max_epochs: int,
    batch_size: int,
    workers: int,
    checkpoint: str | None,
    lr: float,
    flip: float,
) -> dict[str, Any]:
    """Make the sections of a config from its values; `OwnData` explains them."""
    scale = (long_side, short_side)
    train_scales = [(long_side, round(0.8 * short_side)), scale]
    load: dict[str, Any] = {"type": "LoadImageFromFile"}
    train_pipeline: list[dict[str, Any]] = [
        load,
        {"type": "LoadPanoptic"},
        {"type": "RandomResize", "scale": train_scales, "keep_ratio": True},
        {"type": "RandomFlip", "prob": flip},
        {"type": "PackDetInputs"},
    ]
    test_pipeline: list[dict[str, Any]] = [
        load,
        {"type": "Resize", "scale": scale, "keep_ratio": True},
        {"type": "PackPanoptic"},
    ]
    metainfo = {
        "classes": things + stuff,
        "thing_classes": things,
        "stuff_classes": stuff,
        "palette": palette,
    }

    def loader(split: dict[str, str], pipeline: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        dataset = {
            "data_root": "",
            "metainfo": metainfo,
            "ann_file": split["annotations"],
            "data_prefix": {"img": split["images"], "seg": split["maps"]},
            "pipeline": pipeline,
        }
        return {"num_workers": workers, "persistent_workers": workers > 0, "dataset": dataset, **more}

    classes = {"num_things_classes": len(things), "num_stuff_classes": len(stuff)}
    head = {"num_classes": len(things)}
    warmup = max(1, max_epochs // 12)
    milestones = sorted({max(1, 2 * max_epochs // 3), max(2, 11 * max_epochs // 12)})
    return {
        "train_pipeline": train_pipeline,
        "test_pipeline": test_pipeline,
        "train_dataloader": loader(train, train_pipeline, batch_size=batch_size),
        "val_dataloader": loader(val, test_pipeline),
        "test_dataloader": loader(val, test_pipeline),
        "model": {
            # Padding around images is black. On exact zeros the gradients of a fresh network's layer norms
            # are about 100,000 times too large; a trained backbone was trained with zeros.
            "data_preprocessor": {"pad_value": 0 if checkpoint else -2},
            "backbone": {
                "init_cfg": {"type": "Pretrained", "checkpoint": checkpoint} if checkpoint else None
            },
            "roi_head": {"bbox_head": head, "mask_head": head},
            "semantic_head": classes,
            "panoptic_fusion_head": classes,
            "test_cfg": {"panoptic": {"stuff_area_limit": stuff_area_limit}},
        },
        "optim_wrapper": {"optimizer": {"lr": lr}, "clip_grad": {"max_norm": 10.0}},
        "param_scheduler": [
            {
                "type": "LinearLR",
                "start_factor": 0.001,
                "by_epoch": True,
                "begin": 0,
                "end": warmup,
                "convert_to_iter_based": True,
            },
            {"type": "MultiStepLR", "begin": 0, "end": max_epochs, "milestones": milestones},
        ],
        "train_cfg": {"max_epochs": max_epochs, "val_interval": max(1, max_epochs // 4)},
        "default_hooks": {
            "checkpoint": {"interval": max(1, max_epochs // 12)},
            "logger": {"interval": 20},
        },
    }
