"""mmdetection's Panoptic FPN with ResNet-50, as it is, on our data steps and metric: for comparison.

python tools/fps.py configs/baselines/panoptic_fpn_r50_fpn_1x_coco.py --random-images
"""

_base_ = "../lvt/panoptic_fpn_lvt_fpn_1x_coco.py"

channels = 256
model = dict(
    backbone=dict(
        _delete_=True,
        type="ResNet",
        depth=50,
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048], out_channels=channels),
    rpn_head=dict(type="RPNHead", in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(type="SingleRoIExtractor", out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=1024),
        mask_roi_extractor=dict(type="SingleRoIExtractor", out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels),
    ),
    semantic_head=dict(
        type="PanopticFPNHead", in_channels=channels, inner_channels=128, norm_cfg=dict(num_groups=32)
    ),
    panoptic_fusion_head=dict(type="HeuristicFusionHead"),
)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4))
train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=16)
