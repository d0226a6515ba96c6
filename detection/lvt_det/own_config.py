"""A config for a data set of one's own, written as a file that one can read, change and use again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lvt_core.openmmlab.own_data import relative_base, write_config
from lvt_core.visualize import class_colors

BASE = Path(__file__).resolve().parents[2] / "configs/detection/lvt/panoptic_fpn_lvt_fpn_1x_coco.py"


@dataclass(frozen=True)
class Split:
    """Training or validation data in COCO's panoptic layout.

    Attributes:
        images: Folder.
        annotations: JSON file.
        maps: Folder of PNG maps.
    """

    images: str
    annotations: str
    maps: str


@dataclass(frozen=True)
class OwnData:
    """What the config is made of.

    Attributes:
        things: Names of the classes that have instances.
        stuff: Names of the others.
        train: Where to train.
        val: Where to validate.
        short_side: To which images are resized in testing, in pixels; in training from 0.8 of it on.
        long_side: What the longer side may not exceed, in pixels.
        stuff_area_limit: Stuff with fewer pixels in an image is dropped.
        epochs: Passes over the training images.
        batch_size: Images a step and process.
        lr: Learning rate.
        workers: Data-loading processes of each process.
        pretrained: The backbone's weights, or ``None`` to train from scratch.
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
    """Write the config; it inherits the COCO one and holds every number that differs.

    Raises:
        UserError: There is another one, edited or of other options.
    """
    write_config(path, own_config(path, data))


def own_config(path: Path, data: OwnData) -> str:
    """The config's text, for this place."""
    base = relative_base(path, BASE)
    colors = class_colors(len(data.things) + len(data.stuff)).tolist()
    kinds = f"{len(data.things)} things and {len(data.stuff)} kinds of stuff"
    return f'''"""Panoptic FPN with LVT on {kinds} of one's own.

From detection/:

    python tools/train.py {path} --work-dir {path.parent}/run
    python tools/test.py {path} CHECKPOINT --show-dir pictures
"""

_base_ = "{base}"

things = {list(data.things)!r}
stuff = {list(data.stuff)!r}
num_things, num_stuff = len(things), len(stuff)
metainfo = dict(
    classes=things + stuff,
    thing_classes=things,
    stuff_classes=stuff,
    palette={colors!r},
)
scale = ({data.long_side}, {data.short_side})  # longest and shortest side
train_scales = [({data.long_side}, {round(0.8 * data.short_side)}), scale]
stuff_area_limit = {data.stuff_area_limit}  # pixels of the image in its own size; less stuff is dropped
max_epochs = {data.epochs}
batch_size = {data.batch_size}  # of each process
workers = {data.workers}
checkpoint = {data.pretrained!r}  # the backbone's weights; None: from scratch
lr = {data.lr}

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadPanoptic"),
    dict(type="RandomResize", scale=train_scales, keep_ratio=True),
    dict(type="RandomFlip", prob={data.flip}),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=scale, keep_ratio=True),
    dict(type="PackPanoptic"),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=workers,
    persistent_workers=workers > 0,
    dataset=dict(
        data_root="",
        metainfo=metainfo,
        ann_file={data.train.annotations!r},
        data_prefix=dict(img={data.train.images!r}, seg={data.train.maps!r}),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=workers,
    persistent_workers=workers > 0,
    dataset=dict(
        data_root="",
        metainfo=metainfo,
        ann_file={data.val.annotations!r},
        data_prefix=dict(img={data.val.images!r}, seg={data.val.maps!r}),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

model = dict(
    # Around images: black. On exact zeros a fresh network's layer norms have gradients some 100,000
    # times too large; a trained one was trained with zeros and knows them.
    data_preprocessor=dict(pad_value=0 if checkpoint else -2),
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint) if checkpoint else None),
    roi_head=dict(bbox_head=dict(num_classes=num_things), mask_head=dict(num_classes=num_things)),
    semantic_head=dict(num_things_classes=num_things, num_stuff_classes=num_stuff),
    panoptic_fusion_head=dict(num_things_classes=num_things, num_stuff_classes=num_stuff),
    test_cfg=dict(panoptic=dict(stuff_area_limit=stuff_area_limit)),
)
optim_wrapper = dict(optimizer=dict(lr=lr), clip_grad=dict(max_norm=10.0))
warmup = max(1, max_epochs // 12)
milestones = sorted({{max(1, 2 * max_epochs // 3), max(2, 11 * max_epochs // 12)}})
param_scheduler = [
    dict(
        type="LinearLR", start_factor=0.001, by_epoch=True, begin=0, end=warmup, convert_to_iter_based=True
    ),
    dict(type="MultiStepLR", begin=0, end=max_epochs, milestones=milestones),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max(1, max_epochs // 4))
default_hooks = dict(checkpoint=dict(interval=max(1, max_epochs // 12)), logger=dict(interval=20))
'''
