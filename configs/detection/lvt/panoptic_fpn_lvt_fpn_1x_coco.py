"""Panoptic FPN with LVT on COCO, 12 epochs.

    ./tools/dist_train.sh configs/lvt/panoptic_fpn_lvt_fpn_1x_coco.py 8
    python tools/test.py configs/lvt/panoptic_fpn_lvt_fpn_1x_coco.py FILE --eval PQ

8 GPUs with 8 images each: AdamW 4e-4, a tenth of it after 8 and again after 11 epochs, 500 iterations of
warm-up; no drop path. The heads are mmdetection's, narrower: 96 channels instead of 256.

As in the release, images whose only things are crowds are kept. Different: by accident, the release trained
the pixels that fill up a batch as things; here they do not count.
"""

_base_ = "mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py"
custom_imports = dict(imports=["lvt_det"], allow_failed_imports=False)

data_root = "data/coco"
checkpoint = "pretrained/lvt_imagenet_pretrained.pth.tar"  # the release's name
channels = 96
num_things = 80
num_stuff = 53

model = dict(
    backbone=dict(
        _delete_=True,
        type="LVT",
        drop_path_rate=0.0,  # the release never handed it on
        init_cfg=dict(type="Pretrained", checkpoint=checkpoint),
    ),
    neck=dict(in_channels=[64, 64, 160, 256], out_channels=channels),
    rpn_head=dict(type="PreciseRPNHead", in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(type="PreciseRoIExtractor", out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=160, num_classes=num_things),
        mask_roi_extractor=dict(type="PreciseRoIExtractor", out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels, num_classes=num_things),
    ),
    semantic_head=dict(
        type="DirectPanopticFPNHead",
        num_things_classes=num_things,
        num_stuff_classes=num_stuff,
        in_channels=channels,
        inner_channels=48,
        norm_cfg=dict(num_groups=12),
    ),
    panoptic_fusion_head=dict(
        type="PanopticFusionHead", num_things_classes=num_things, num_stuff_classes=num_stuff
    ),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadPanoptic"),
    dict(type="Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="PackPanoptic"),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    dataset=dict(type="PanopticDataset", data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(type="PanopticDataset", data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type="PanopticMetric")
test_evaluator = dict(_delete_=True, type="PanopticMetric")

optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=4e-4, weight_decay=1e-4))
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, save_best="PQ", rule="greater"))
