"""Panoptic FPN with LVT on the demo's digit scenes: the COCO config, made small enough for two CPU cores.

One block per stage, narrower heads, few proposals, scenes of 96 x 96 as they are, no mirroring (a mirrored
digit is another sign), from the segmentor's backbone of the demo.
"""

_base_ = "../../configs/detection/lvt/panoptic_fpn_lvt_fpn_1x_coco.py"

things = [f"digit {i}" for i in range(10)]
stuff = "sky stripes checker gravel dots bricks".split()
palette = [[255, 90, 80], [255, 165, 60], [250, 230, 60], [165, 235, 70], [60, 205, 110]]
palette += [[70, 225, 215], [100, 175, 255], [150, 130, 255], [215, 110, 255], [255, 130, 200]]
palette += [[38, 60, 120], [110, 70, 35], [80, 80, 84], [125, 115, 85], [45, 95, 65], [125, 45, 50]]
metainfo = dict(classes=things + stuff, thing_classes=things, stuff_classes=stuff, palette=palette)
num_things = len(things)
num_stuff = len(stuff)
channels = 48
max_epochs = 2
lr = 1.5e-3

train_pipeline = [  # scenes come in every colour: nothing to augment
    dict(type="LoadImageFromFile"),
    dict(type="LoadPanoptic"),
    dict(type="Resize", scale_factor=1.0),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale_factor=1.0),
    dict(type="PackPanoptic"),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(metainfo=metainfo, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(metainfo=metainfo, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

few = dict(nms_pre=200, max_per_img=40)
model = dict(
    backbone=dict(depths=(1, 1, 1, 1), drop_path_rate=0.0),
    neck=dict(out_channels=channels),
    rpn_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, num_classes=num_things),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels, num_convs=2, num_classes=num_things),
    ),
    semantic_head=dict(
        in_channels=channels,
        inner_channels=24,
        norm_cfg=dict(num_groups=6),
        num_things_classes=num_things,
        num_stuff_classes=num_stuff,
    ),
    panoptic_fusion_head=dict(num_things_classes=num_things, num_stuff_classes=num_stuff),
    train_cfg=dict(rpn_proposal=few, rcnn=dict(sampler=dict(num=24))),
    test_cfg=dict(rpn=few, panoptic=dict(stuff_area_limit=120)),
)
optim_wrapper = dict(optimizer=dict(lr=lr), clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(interval=max_epochs, save_best=None), logger=dict(interval=20))
