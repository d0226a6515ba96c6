"""A baseline: the same head and recipe over PVTv2-B0, a timm backbone of LVT's size (3.4 M parameters).

Any timm model whose `features_only` form gives four NCHW maps at strides 4 to 32 goes the same way:
`model_name`, the head's `in_channels`, and `out_indices=(1, 2, 3, 4)` where there are five maps.
timm downloads its ImageNet weights; offline: --cfg-options model.backbone.pretrained=False.

    ./tools/dist_train.sh local_configs/baselines/segformer.pvt_v2_b0.512x512.ade.160k.py 8
"""

_base_ = "../lvt/segformer.lvt.512x512.ade.160k.py"

model = dict(
    backbone=dict(_delete_=True, type="TIMMBackbone", model_name="pvt_v2_b0", pretrained=True),
    decode_head=dict(in_channels=(32, 64, 160, 256)),
)
