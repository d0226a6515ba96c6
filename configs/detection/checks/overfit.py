"""A few images, learnt by heart: everything that learns must reach them within the hour on a CPU.

    python tools/train.py configs/checks/overfit.py --data-root DIR --seed 0

DIR is in COCO's layout, with a handful of images in ``train2017``; PQ has these same images, every 20
epochs. From scratch, short side 256, nothing augmented, fewer proposals.
"""

_base_ = "../lvt/panoptic_fpn_lvt_fpn_1x_coco.py"

max_epochs = 260
scale = (416, 256)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadPanoptic"),
    dict(type="Resize", scale=scale, keep_ratio=True),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=scale, keep_ratio=True),
    dict(type="PackPanoptic"),
]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        ann_file="annotations/panoptic_train2017.json",
        data_prefix=dict(img="train2017/", seg="annotations/panoptic_train2017/"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

model = dict(
    data_preprocessor=dict(pad_value=-2),  # black: on zeros a fresh network's gradients explode
    backbone=dict(drop_path_rate=0.0, init_cfg=None),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=300), rcnn=dict(sampler=dict(num=128))),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type="MultiStepLR", begin=0, end=max_epochs, milestones=[200, 240], gamma=0.2),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=20)
default_hooks = dict(checkpoint=dict(interval=20), logger=dict(interval=7))
