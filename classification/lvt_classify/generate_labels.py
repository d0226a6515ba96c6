"""Generation of token-label maps for an image folder, by any teacher with a feature map.

    python generate_labels.py /PATH_TO_IMAGENET --model dm_nfnet_f6 --map-size 18 --labels ./labels
    torchrun --nproc-per-node=8 generate_labels.py …        # each process labels its share

That is in classification/; ``python -m lvt_classify.generate_labels`` runs in any folder. Each image has one
float16 tensor ``[2, 5, h, w]`` at ``<labels>/<class>/<stem>.pt``: the five largest logits of every cell, and
their classes. Existing files are kept, so an interrupted run continues.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from lvt_classify.data.classes import CLASSES, index_classes, write_label_classes
from lvt_classify.data.dataset import Images, open_dataset
from lvt_classify.data.decode import decoded
from lvt_classify.data.loader import Loader
from lvt_classify.facts import apply_facts, read_facts
from lvt_classify.options.groups import DataOptions, DeviceOptions, option_names
from lvt_classify.options.idle import GENERATE, idle_options
from lvt_classify.options.parser import option, parse_options
from lvt_classify.runtime import Runtime, start_runtime
from lvt_classify.token_labels.maps import label_path
from lvt_classify.token_labels.teacher import create_teacher, dense_teacher_logits
from lvt_classify.training.run_log import Progress
from lvt_core.checkpoint import read_checkpoint
from lvt_core.errors import UserError, run_command
from lvt_core.files import require_writable_folder, write_whole
from lvt_core.runs.live_folder import live_folder

logger = logging.getLogger(__name__)

KEPT = 5
LARGEST_CLASS = 2048  # float16 holds every integer up to here


@dataclass(frozen=True)
class TeacherOptions:
    """Teacher and label maps"""

    model: str = option(
        "dm_nfnet_f6", "timm model name of the teacher, if its checkpoint does not say; also lvt_cls and lvt"
    )
    checkpoint: str = option("", "weights of the teacher; '' for timm's pretrained ones")
    labels: str = option("./labels", "folder that receives the maps")
    map_size: int | None = option(None, "cells per side; default: as many as the teacher has", low=1)
    view: str = option(
        "full",
        "full: the whole image squeezed to a square, as training reads maps; "
        "centre: its centre square, as the published maps",
        choices=("full", "centre"),
    )
    split: str = option("train", "split to label")
    log_interval: int = option(50, "batches between log lines", low=1)


@dataclass(frozen=True)
class GenerateOptions(TeacherOptions, DeviceOptions, DataOptions):
    """Make token-label maps with a teacher."""


def main() -> None:
    options = parse_options(GenerateOptions, shared=option_names())
    runtime = start_runtime(options)
    for note in idle_options(options, GENERATE):
        logger.warning("note: %s", note)
    try:
        generate(options, runtime)
    finally:
        runtime.close()


@torch.inference_mode()
def generate(options: GenerateOptions, runtime: Runtime) -> None:
    """Label this process's share of the images that do not have a map yet."""
    root = require_writable_folder(options.labels)
    with live_folder(root, ("**/*.pt", CLASSES), owner=runtime.is_main):
        runtime.barrier()  # the first process has deleted unfinished maps
        generate_in(root, options, runtime)


def generate_in(root: Path, options: GenerateOptions, runtime: Runtime) -> None:
    """Label this process's share of the images in a folder, which no other command writes."""
    dataset = open_dataset(options, options.split, training=False)
    if options.checkpoint:
        facts = read_facts(read_checkpoint(options.checkpoint), options.checkpoint)
        options, _, _ = apply_facts(options, facts, options.checkpoint)
    teacher = create_teacher(
        options.model,
        num_classes=options.num_classes,
        checkpoint=options.checkpoint,
        img_size=options.img_size,
        device=runtime.device,
    )
    model = teacher.model
    if model.num_classes > LARGEST_CLASS:
        raise UserError(
            f"--model {options.model}: has {model.num_classes} classes, but float16 maps hold at most "
            f"{LARGEST_CLASS}"
        )
    source = options.checkpoint or options.model
    classes = index_classes(
        dataset,
        teacher.facts.class_to_idx,
        num_classes=model.num_classes,
        class_map=options.class_map,
        data=options.data_dir,
        model=f"the teacher {source}",
    )
    if runtime.is_main:
        write_label_classes(root, classes)
    config = teacher.pictures
    resampling = options.interpolation or config["interpolation"]
    view = View(options.img_size, options.view, resampling, options.exif)
    images = Images(dataset, view, classes=classes)
    share = range(runtime.rank, len(dataset), runtime.world)
    todo = [i for i in share if not label_path(root, images.filename(i)).exists()]
    logger.info("%s images to label, %s done before", f"{len(todo):,}", f"{len(share) - len(todo):,}")
    loader = Loader(
        images,
        batch_size=options.batch_size,
        sampler=todo,
        workers=options.workers,
        device=runtime.device,
        mean=config["mean"],
        std=config["std"],
        drop_last=False,
    )
    progress = Progress("label", len(loader), options.log_interval, runtime.is_main)
    position = 0
    for number, (batch, _) in enumerate(loader, start=1):
        with runtime.autocast():
            logits = dense_teacher_logits(model, batch).float()  # (B, K, h, w)
        for label in label_maps(logits, options.map_size):
            path = label_path(root, images.filename(todo[position]))
            write_whole(path, partial(torch.save, label.clone()))  # a view would save the whole batch
            position += 1
        if progress.is_due(number):
            progress.show(number)
    progress.close()
    runtime.barrier()
    logger.info("label maps in %s", root)


def label_maps(logits: Tensor, size: int | None) -> Tensor:
    """Make maps ``(B, 2, 5, size, size)``, float16, on the CPU, from dense logits ``(B, K, h, w)``."""
    if size is not None:
        logits = F.interpolate(logits, (size, size), mode="bilinear", align_corners=False)
    values, classes = logits.topk(min(KEPT, logits.shape[1]), dim=1)
    return torch.stack((values, classes.to(values)), dim=1).half().cpu()


class View:
    """Transform of an image to the square that the teacher sees, a uint8 tensor.

    Args:
        size: Side in pixels.
        view: ``'full'`` for the whole image, ``'centre'`` for its centre square.
        interpolation: Resampling, by timm's name.
        exif: Turn the image as its EXIF data say.
    """

    def __init__(self, size: int, view: str, interpolation: str, exif: bool = True) -> None:
        self.exif = exif
        mode = v2.InterpolationMode(interpolation)
        resize = [v2.Resize((size, size), mode)]
        if view == "centre":
            resize = [v2.Resize(size, mode), v2.CenterCrop(size)]
        self.steps = v2.Compose([*resize, v2.PILToTensor()])

    def __call__(self, image: Image.Image) -> Any:
        return self.steps(decoded(image, exif=self.exif))


if __name__ == "__main__":
    run_command(main)
