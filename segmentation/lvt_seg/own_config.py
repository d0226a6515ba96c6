"""A config for a data set of one's own, written as a file that one can read, change and use again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lvt_core.openmmlab.own_data import relative_base, write_config
from lvt_core.visualize import class_colors

BASE = Path(__file__).resolve().parents[2] / "configs/segmentation/lvt/segformer.lvt.512x512.ade.160k.py"


@dataclass(frozen=True)
class Split:
    """Images and masks of training or validation.

    Attributes:
        images: Folder.
        masks: Folder.
        names: Text file with the names to use; empty for all.
    """

    images: str
    masks: str
    names: str = ""


@dataclass(frozen=True)
class OwnData:
    """What the config is made of.

    Attributes:
        classes: Names, in the order of their numbers.
        first_class: Number of the first class in the masks: 0, or 1 if 0 means "does not count".
        train: Where to train.
        val: Where to validate.
        crop_size: Height and width of training crops, in pixels.
        short_side: To which images are resized, in pixels.
        max_iters: Steps of training.
        batch_size: Images a step and process.
        lr: Learning rate of the backbone.
        workers: Data-loading processes of each process.
        pretrained: The backbone's weights, or ``None`` to train from scratch.
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


def write_own_config(path: Path, data: OwnData) -> None:
    """Write the config; it inherits the ADE20K one and holds every number that differs.

    Raises:
        UserError: There is another one, edited or of other options.
    """
    write_config(path, own_config(path, data))


def own_config(path: Path, data: OwnData) -> str:
    """The config's text, for this place."""
    base = relative_base(path, BASE)
    return f'''"""SegFormer with LVT on {len(data.classes)} classes of one's own.

From segmentation/:

    python tools/train.py {path} --work-dir {path.parent}/run
    python tools/test.py {path} CHECKPOINT --show-dir pictures
"""

_base_ = "{base}"

classes = {list(data.classes)!r}
palette = {class_colors(len(data.classes)).tolist()!r}
num_classes = len(classes)
first_class = {data.first_class}  # number of the first class in the masks; 1: 0 does not count
scale = ({4 * data.short_side}, {data.short_side})  # longest and shortest side
crop_size = {data.crop_size}
max_iters = {data.max_iters}
batch_size = {data.batch_size}  # of each process
workers = {data.workers}
checkpoint = {data.pretrained!r}  # the backbone's weights; None: from scratch
lr = {data.lr}
head_lr_mult = {10.0 if data.pretrained else 1.0}  # a fresh head over a trained backbone learns faster

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadMask", num_classes=num_classes),
    dict(type="RandomResize", scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob={data.flip}),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="AlignedResize", scale=scale),
    dict(type="LoadMask", num_classes=num_classes),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="AlignedResize", scale=(int(scale[0] * ratio), int(scale[1] * ratio)))
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob={1.0 if data.flip else 0.0})],
            [dict(type="LoadMask", num_classes=num_classes)],
            [dict(type="PackSegInputs")],
        ],
    ),
]
common = dict(
    _delete_=True,
    type="ImageMaskDataset",
    metainfo=dict(classes=classes, palette=palette),
    reduce_zero_label=first_class == 1,
)
val_dataset = dict(
    data_prefix=dict(img_path={data.val.images!r}, seg_map_path={data.val.masks!r}),
    ann_file={data.val.names!r},
    pipeline=test_pipeline,
    **common,
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=workers,
    persistent_workers=workers > 0,
    dataset=dict(
        data_prefix=dict(img_path={data.train.images!r}, seg_map_path={data.train.masks!r}),
        ann_file={data.train.names!r},
        pipeline=train_pipeline,
        **common,
    ),
)
val_dataloader = dict(num_workers=workers, persistent_workers=workers > 0, dataset=val_dataset)
test_dataloader = val_dataloader

model = dict(
    # Around small images: black. On exact zeros a fresh network's layer norms have gradients some
    # 100,000 times too large; a trained one was trained with zeros and knows them.
    data_preprocessor=dict(size=crop_size, pad_val=0 if checkpoint else -2),
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint) if checkpoint else None),
    decode_head=dict(num_classes=num_classes),
)
optim_wrapper = dict(
    optimizer=dict(lr=lr),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        custom_keys={{
            "head": dict(lr_mult=head_lr_mult),
            "decode_head.head.norm": dict(lr_mult=head_lr_mult, decay_mult=0.0),
        }}
    ),
)
warmup = max(2, max_iters // 20)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=warmup),
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=warmup, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max(1, max_iters // 4))
default_hooks = dict(
    checkpoint=dict(interval=max(1, max_iters // 4), save_best="mIoU", rule="greater", max_keep_ckpts=2),
    logger=dict(interval=20),
)
'''
