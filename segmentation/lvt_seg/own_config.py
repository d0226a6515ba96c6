"""Configs for custom images and masks: a written file has the values, `settings` the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvt_core.openmmlab.own_data import write_config
from lvt_predict.photo.classes import distinct_colors

BASE = Path(__file__).resolve().parent / "configs/lvt/segformer.lvt.512x512.ade.160k.py"


@dataclass(frozen=True)
class Split:
    """Images and masks of training or validation.

    Attributes:
        images: Folder of images.
        masks: Folder of masks.
        names: Text file with the names to use; empty for all.
    """

    images: str
    masks: str
    names: str = ""


@dataclass(frozen=True)
class OwnData:
    """The values of a config.

    Attributes:
        classes: Names of the classes, in the order of their values.
        first_class: Value of the first class in the masks: 0, or 1 if 0 means "does not count".
        mask_values: Value of each class in the masks, instead of those counted from `first_class`.
        train: Training data.
        val: Validation data.
        crop_size: Height and width of training crops, in pixels.
        short_side: Short side of resized images, in pixels.
        max_iters: Steps of training.
        batch_size: Images per step and process.
        lr: Learning rate of the backbone.
        workers: Data-loading processes of each process.
        pretrained: File of the backbone's weights, or ``None`` to train from scratch.
        flip: Probability of mirroring in training.
    """

    classes: Sequence[str]
    first_class: int
    train: Split
    val: Split
    crop_size: tuple[int, int]
    short_side: int
    max_iters: int
    batch_size: int
    lr: float
    workers: int
    pretrained: str | None
    flip: float = 0.5
    mask_values: Sequence[int] | None = None


def write_own_config(path: Path, data: OwnData) -> None:
    """Write a config that inherits the ADE20K one.

    Raises:
        UserError: Another config exists there, edited or with other options.
    """
    values = {
        "classes": list(data.classes),
        "palette": distinct_colors(len(data.classes)),
        "first_class": data.first_class,
        "mask_values": list(data.mask_values) if data.mask_values else None,
        "train": vars(data.train),
        "val": vars(data.val),
        "crop_size": data.crop_size,
        "short_side": data.short_side,
        "max_iters": data.max_iters,
        "batch_size": data.batch_size,
        "workers": data.workers,
        "checkpoint": data.pretrained,
        "lr": data.lr,
        "head_lr_mult": 10.0 if data.pretrained else 1.0,
        "flip": data.flip,
    }
    comments = {
        "first_class": "value of the first class in the masks; 1: the value 0 does not count",
        "mask_values": "value of each class in the masks, instead",
        "batch_size": "images per process",
        "checkpoint": "the backbone's weights; None: from scratch",
        "head_lr_mult": "a fresh head on a trained backbone learns faster",
    }
    title = f"SegFormer with LVT on {len(data.classes)} custom classes"
    write_config(path, title, base=BASE, package="lvt_seg", values=values, comments=comments)


def settings(
    *,
    classes: list[str],
    palette: list[list[int]],
    first_class: int,
    mask_values: list[int] | None = None,
    train: dict[str, str],
    val: dict[str, str],
    crop_size: tuple[int, int],
    short_side: int,
    max_iters: int,
    batch_size: int,
    workers: int,
    checkpoint: str | None,
    lr: float,
    head_lr_mult: float,
    flip: float,
) -> dict[str, Any]:
    """Make the sections of a config from its values; `OwnData` explains them."""
    scale = (4 * short_side, short_side)  # longest and shortest side
    load: list[dict[str, Any]] = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "num_classes": len(classes)},
    ]
    train_pipeline: list[dict[str, Any]] = [
        *load,
        {"type": "RandomResize", "scale": scale, "ratio_range": (0.5, 2.0), "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": crop_size, "cat_max_ratio": 0.75},
        {"type": "RandomFlip", "prob": flip},
        {"type": "PhotoMetricDistortion"},
        {"type": "PackSegInputs"},
    ]
    resize = {"type": "AlignedResize", "scale": scale}
    test_pipeline: list[dict[str, Any]] = [load[0], resize, load[1], {"type": "PackSegInputs"}]

    def loader(split: dict[str, str], pipeline: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        dataset = {
            "_delete_": True,
            "type": "ImageMaskDataset",
            "metainfo": {"classes": classes, "palette": palette, "mask_values": mask_values},
            "reduce_zero_label": first_class == 1,
            "data_prefix": {"img_path": split["images"], "seg_map_path": split["masks"]},
            "ann_file": split["names"],
            "pipeline": pipeline,
        }
        return {"num_workers": workers, "persistent_workers": workers > 0, "dataset": dataset, **more}

    warmup, quarter = max(2, max_iters // 20), max(1, max_iters // 4)
    norm = {"lr_mult": head_lr_mult, "decay_mult": 0.0}
    return {
        "train_pipeline": train_pipeline,
        "test_pipeline": test_pipeline,
        "tta_pipeline": _tta_pipeline(scale, load, flip),
        "train_dataloader": loader(train, train_pipeline, batch_size=batch_size),
        "val_dataloader": loader(val, test_pipeline),
        "test_dataloader": loader(val, test_pipeline),
        "model": {
            # Padding of small images is black. On exact zeros the gradients of a fresh network's layer norms
            # are about 100,000 times too large; a trained backbone was trained with zeros.
            "data_preprocessor": {"size": crop_size, "pad_val": 0 if checkpoint else -2},
            "backbone": {
                "init_cfg": {"type": "Pretrained", "checkpoint": checkpoint} if checkpoint else None
            },
            "decode_head": {"num_classes": len(classes)},
        },
        "optim_wrapper": {
            "optimizer": {"lr": lr},
            "clip_grad": {"max_norm": 1.0},
            "paramwise_cfg": {
                "custom_keys": {"head": {"lr_mult": head_lr_mult}, "decode_head.head.norm": norm}
            },
        },
        "param_scheduler": [
            {"type": "LinearLR", "start_factor": 1e-6, "by_epoch": False, "begin": 0, "end": warmup},
            {
                "type": "PolyLR",
                "eta_min": 0.0,
                "power": 1.0,
                "begin": warmup,
                "end": max_iters,
                "by_epoch": False,
            },
        ],
        "train_cfg": {"max_iters": max_iters, "val_interval": quarter},
        "default_hooks": {
            "checkpoint": {"interval": quarter, "save_best": "mIoU", "rule": "greater", "max_keep_ckpts": 2},
            "logger": {"interval": 20},
        },
    }


def _tta_pipeline(scale: tuple[int, int], load: list[dict[str, Any]], flip: float) -> list[dict[str, Any]]:
    """Return test-time augmentation: six sizes, each of them mirrored too if training mirrors."""
    sizes = [(int(scale[0] * ratio), int(scale[1] * ratio)) for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)]
    transforms = [
        [{"type": "AlignedResize", "scale": size} for size in sizes],
        [{"type": "RandomFlip", "prob": 0.0}, {"type": "RandomFlip", "prob": 1.0 if flip else 0.0}],
        [load[1]],
        [{"type": "PackSegInputs"}],
    ]
    return [load[0], {"type": "TestTimeAug", "transforms": transforms}]
