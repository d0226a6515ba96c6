"""Both training loaders, timm's and ours, with the augmentation of the published recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from timm.data import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    create_dataset,
    create_loader,
    create_transform,
)
from timm.data.auto_augment import RandAugment

from lvt_classify.data.loader import train_loader
from lvt_classify.data.transforms import mend_posterize
from lvt_classify.options.groups import TrainOptions, option_names
from lvt_classify.options.parser import parse_options
from lvt_classify.runtime import Runtime

RECIPE = Path(__file__).resolve().parents[2] / "configs/classification/lvt_imagenet.py"
MEAN, STD = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
CPU = torch.device("cpu")


def read_recipe(root: Path, batch: int, interpolation: str, *words: str) -> TrainOptions:
    """Read the options of the published recipe, for loading without workers.

    Args:
        root: Folder of the data set.
        batch: Number of images.
        interpolation: Value of ``--train-interpolation``.
        words: Further options, as on the command line.
    """
    arguments = [str(root), "--cfg", str(RECIPE), "-b", str(batch), "-j", "0", *words]
    arguments += ["--train-interpolation", interpolation]
    return parse_options(TrainOptions, arguments, shared=option_names())


def timm_transform(options: TrainOptions) -> Any:
    """Make timm's own augmentation; its posterising to 0 bits, which Pillow 13 rejects, is mended."""
    transform = create_transform(options.img_size, **_timm_arguments(options), use_prefetcher=True)
    for step in transform.transforms:
        if isinstance(step, RandAugment):
            mend_posterize(step)
    return transform


def timm_loader(options: TrainOptions) -> Any:
    """Make timm's loader."""
    dataset = create_dataset("", root=options.data_dir, split="train", is_training=True)
    loader = create_loader(
        dataset,
        (3, options.img_size, options.img_size),
        options.batch_size,
        num_workers=0,
        device=CPU,
        **_timm_arguments(options),
    )
    dataset.transform = timm_transform(options)
    return loader


def our_loader(options: TrainOptions) -> Any:
    """Make our loader."""
    dataset = create_dataset("", root=options.data_dir, split="train", is_training=True)
    return train_loader(options, Runtime(CPU, 0, 1, None), dataset, {"mean": MEAN, "std": STD})


def _timm_arguments(options: TrainOptions) -> dict[str, Any]:
    return {
        "is_training": True,
        "scale": options.scale,
        "ratio": options.ratio,
        "hflip": options.hflip,
        "vflip": options.vflip,
        "color_jitter": options.color_jitter,
        "auto_augment": options.aa or None,
        "interpolation": options.train_interpolation,
        "mean": MEAN,
        "std": STD,
    }
