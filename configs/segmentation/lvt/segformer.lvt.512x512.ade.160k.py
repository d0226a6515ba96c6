"""SegFormer with LVT on ADE20K: the published 39.3 mIoU, 3.9 M parameters, 10.6 GMACs.

Published hardware and speed: trained on 8 GPUs, 2 images each, 160k iterations; 45.5 images a second on one
V100 at short side 512. We had neither ADE20K nor the published file: 39.3 is the publisher's number.

    ./tools/dist_train.sh local_configs/lvt/segformer.lvt.512x512.ade.160k.py 8
    python tools/test.py local_configs/lvt/segformer.lvt.512x512.ade.160k.py FILE --eval mIoU

The recipe is what the released code did: AdamW 6e-5 (head 6e-4), weight decay 0.01, but not on norms outside
of the head; a linear decay to 0 from the first iteration, times 1500 iterations of warm-up; no drop path;
8 x 2 images of 512 x 512 a step.
"""

_base_ = "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py"
custom_imports = dict(imports=["lvt_seg"], allow_failed_imports=False)

data_root = "data/ade/ADEChallengeData2016"
num_classes = 150
checkpoint = "pretrained/lvt_imagenet_pretrained.pth.tar"  # the release's name
sync_bn = "torch"  # across GPUs; on CPUs each process has its own batch norm

model = dict(
    backbone=dict(
        _delete_=True,
        type="LVT",
        drop_path_rate=0.0,  # the release never handed it on
        init_cfg=dict(type="Pretrained", checkpoint=checkpoint),
    ),
    decode_head=dict(
        _delete_=True,
        type="LVTSegFormerHead",
        in_channels=(64, 64, 160, 256),
        channels=256,
        num_classes=num_classes,
        dropout_ratio=0.1,
    ),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", num_classes=num_classes),
    dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="AlignedResize", scale=(2048, 512)),
    dict(type="LoadAnnotations", num_classes=num_classes),  # the truth keeps its size
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="AlignedResize", scale=(int(2048 * ratio), int(512 * ratio)))
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations", num_classes=num_classes)],
            [dict(type="PackSegInputs")],
        ],
    ),
]

train_dataloader = dict(
    batch_size=2, num_workers=4, dataset=dict(data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
val_evaluator = dict(_delete_=True, type="SegmentationMetric", iou_metrics=["mIoU"])
test_evaluator = dict(_delete_=True, type="SegmentationMetric", iou_metrics=["mIoU"])

# The norm in the head matches the keys "head" and "norm"; "head" wins, so it decays, as in the release.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=0, end=160000, by_epoch=False),
]
default_hooks = dict(
    checkpoint=dict(interval=4000, max_keep_ckpts=3, save_best="mIoU", rule="greater"),
    visualization=dict(_delete_=True, type="SegVisualizationHook", draw=False),
)
