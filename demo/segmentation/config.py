"""SegFormer with LVT on the demo's digit scenes: the ADE20K config, made small enough for two CPU cores.

One block per stage and a narrower head, whole scenes of 80 x 80, no mirroring (a mirrored digit is another
sign), minutes of training from the classification demo's backbone.
"""

_base_ = "../../configs/segmentation/lvt/segformer.lvt.512x512.ade.160k.py"

classes = "sky stripes checker gravel dots bricks".split() + [f"digit {i}" for i in range(10)]
num_classes = len(classes)
palette = [[38, 60, 120], [110, 70, 35], [80, 80, 84], [125, 115, 85], [45, 95, 65], [125, 45, 50]]
palette += [[255, 90, 80], [255, 165, 60], [250, 230, 60], [165, 235, 70], [60, 205, 110]]
palette += [[70, 225, 215], [100, 175, 255], [150, 130, 255], [215, 110, 255], [255, 130, 200]]
max_iters = 650
lr = 3e-3

load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", num_classes=num_classes)]
pipeline = [*load, dict(type="PackSegInputs")]  # scenes come in every colour: nothing to augment
train_pipeline = test_pipeline = pipeline
tta_pipeline = None
common = dict(
    _delete_=True,
    type="ImageMaskDataset",
    metainfo=dict(classes=classes, palette=palette),
    reduce_zero_label=True,
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=pipeline,
        **common,
    ),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=pipeline,
        **common,
    ),
)
test_dataloader = val_dataloader

model = dict(
    data_preprocessor=dict(size=(80, 80)),
    backbone=dict(depths=(1, 1, 1, 1), drop_path_rate=0.0),
    decode_head=dict(channels=128, num_classes=num_classes, dropout_ratio=0.0),
)
optim_wrapper = dict(
    optimizer=dict(lr=lr),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        custom_keys={
            "head": dict(lr_mult=2.0),
            "decode_head.head.norm": dict(lr_mult=2.0, decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=max_iters // 20),
    dict(type="PolyLR", eta_min=0.0, by_epoch=False, begin=max_iters // 20, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(
    checkpoint=dict(interval=max_iters, save_best=None),
    logger=dict(interval=20),
)
