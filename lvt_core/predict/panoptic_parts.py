"""mmdetection's Panoptic FPN as three networks, and the settings of the steps between them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lvt_core.errors import UserError
from lvt_core.predict.open_panoptic import PanopticNetwork

# Parts that the post-processor's settings come from.
NEEDED = (
    *("backbone", "neck", "semantic_head.conv_logits", "data_preprocessor.mean", "data_preprocessor.std"),
    *("rpn_head.prior_generator", "rpn_head.bbox_coder"),
    *("roi_head.bbox_head.bbox_coder", "roi_head.bbox_roi_extractor.roi_layers"),
    *("roi_head.mask_head", "roi_head.mask_roi_extractor.roi_layers"),
    *("panoptic_fusion_head.test_cfg.mask_overlap", "panoptic_fusion_head.test_cfg.stuff_area_limit"),
    *(f"test_cfg.{part}.{key}" for part in ("rpn", "rcnn") for key in ("nms.iou_threshold", "max_per_img")),
    *("test_cfg.rpn.nms_pre", "test_cfg.rcnn.score_thr", "test_cfg.rcnn.mask_thr_binary"),
)
MASKS_AT_ONCE = 16  # most images have few things; more are done in turns


class Trunk(nn.Module):
    """The part of the network that only depends on the image.

    Args:
        model: Panoptic FPN of mmdetection.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone, self.neck = model.backbone, model.neck
        self.rpn_head, self.semantic_head = model.rpn_head, model.semantic_head
        self.num_maps = model.roi_head.bbox_roi_extractor.num_inputs

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images ``(1, 3, H, W)`` to scores and deltas of every level, maps for boxes, logits of stuff."""
        maps = self.neck(self.backbone(x))
        rpn: Any = self.rpn_head
        scores, deltas = zip(*(rpn.forward_single(level) for level in maps), strict=True)
        semantic: Any = self.semantic_head
        pairs = zip(semantic.conv_upsample_layers, maps[semantic.start_level :], strict=False)
        stuff = semantic.conv_logits(sum(layer(level) for layer, level in pairs))
        return (*scores, *deltas, *maps[: self.num_maps], stuff)


def split(model: Any) -> dict[str, nn.Module]:
    """Split a Panoptic FPN into `PARTS`: the trunk, and the heads of boxes and masks."""
    return {
        "trunk": Trunk(model).eval(),
        "box_head": model.roi_head.bbox_head,  # (N, C, 7, 7) to logits (N, classes + 1), (N, 4 classes)
        "mask_head": model.roi_head.mask_head,  # (N, C, 14, 14) to logits (N, classes, 28, 28)
    }


def part_inputs(settings: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parts' inputs."""
    shapes: dict[str, tuple[int, ...]] = {"trunk": tuple(settings["input"])}
    for name, kind in (("box_head", "boxes"), ("mask_head", "masks")):
        side = settings[kind]["roi_size"]
        shapes[name] = (settings[kind]["batch"], settings["roi"]["channels"], side, side)
    return shapes


def settings_of(network: PanopticNetwork, size: tuple[int, int]) -> dict[str, Any]:
    """Read the settings of `lvt_predict.panoptic` from a network's modules and its test config.

    Args:
        network: Network that `open_panoptic` opened.
        size: Height and width of its input.

    Raises:
        UserError: The network has a part that the post-processor does not support.
    """
    model: Any = network.model
    _require_there(model)
    rpn, roi, test = model.rpn_head, model.roi_head, model.test_cfg
    preprocess, fusion = model.data_preprocessor, model.panoptic_fusion_head
    _require_known(model)
    extractor, mask_extractor = roi.bbox_roi_extractor, roi.mask_roi_extractor
    generator = rpn.prior_generator
    num_things, num_stuff = fusion.num_things_classes, fusion.num_stuff_classes
    if (network.num_things, len(network.classes)) != (num_things, num_things + num_stuff):
        raise UserError(
            f"the config names {network.num_things} things of {len(network.classes)} classes, its network "
            f"has {num_things} of {num_things + num_stuff}"
        )
    return {
        "input": [1, 3, *size],
        "mean": [float(v) / 255 for v in preprocess.mean.flatten()],
        "std": [float(v) / 255 for v in preprocess.std.flatten()],
        "pad_value": float(preprocess.pad_value),
        "num_things": num_things,
        "num_stuff": num_stuff,
        "proposals": {
            "anchors": [base.tolist() for base in generator.base_anchors],
            "strides": [list(stride) for stride in generator.strides],
            "nms_pre": int(test.rpn.nms_pre),
            "nms": float(test.rpn.nms.iou_threshold),
            "count": int(test.rpn.max_per_img),
            "min_size": float(test.rpn.get("min_bbox_size", -1)),
            **_coder(rpn.bbox_coder),
        },
        "roi": {
            "strides": list(extractor.featmap_strides),
            "finest_scale": extractor.finest_scale,
            "sampling_ratio": extractor.roi_layers[0].sampling_ratio,
            "channels": extractor.out_channels,
        },
        "boxes": {
            "batch": int(test.rpn.max_per_img),
            "roi_size": extractor.roi_layers[0].output_size[0],
            "score": float(test.rcnn.score_thr),
            "nms": float(test.rcnn.nms.iou_threshold),
            "class_agnostic": bool(test.rcnn.nms.get("class_agnostic", False)),
            "count": int(test.rcnn.max_per_img),
            **_coder(roi.bbox_head.bbox_coder),
        },
        "masks": {
            "batch": min(int(test.rcnn.max_per_img), MASKS_AT_ONCE),
            "roi_size": mask_extractor.roi_layers[0].output_size[0],
            "threshold": float(test.rcnn.mask_thr_binary),
        },
        "fusion": {
            "mask_overlap": float(fusion.test_cfg.mask_overlap),
            "stuff_area_limit": int(fusion.test_cfg.stuff_area_limit),
        },
    }


def _coder(coder: Any) -> dict[str, list[float]]:
    return {"means": [float(v) for v in coder.means], "stds": [float(v) for v in coder.stds]}


def _require_there(model: Any) -> None:
    """Reject a network without a required part.

    Raises:
        UserError: A part is missing; the message names the first one.
    """
    for name in NEEDED:
        part, path = model, []
        for key in name.split("."):
            part = getattr(part, key, None)
            path.append(key)
            if part is None:
                raise UserError(f"the network cannot be exported: a Panoptic FPN must have {'.'.join(path)}")


def _require_known(model: Any) -> None:
    """Reject a network with an option that the post-processor does not support.

    Raises:
        UserError: An option is not supported; the message names the first one.
    """
    rpn, roi, test = model.rpn_head, model.roi_head, model.test_cfg
    extractors = {name: getattr(roi, f"{name}_roi_extractor") for name in ("bbox", "mask")}
    facts = {
        "data_preprocessor: must make RGB of BGR": model.data_preprocessor._channel_conversion,
        "rpn_head.loss_cls: must be of sigmoids": rpn.use_sigmoid_cls,
        "roi_head.bbox_head: must have boxes of each class": not roi.bbox_head.reg_class_agnostic,
        "roi_head.bbox_head.loss_cls: must be of a softmax": not roi.bbox_head.custom_cls_channels,
        "roi_head.mask_head: must have masks of each class": not roi.mask_head.class_agnostic,
        "test_cfg.rcnn.max_per_img: must be positive": test.rcnn.max_per_img > 0,
        "test_cfg.rcnn.mask_thr_binary: must not be negative": test.rcnn.mask_thr_binary >= 0,
        "roi_extractors: must take the same maps": (
            extractors["bbox"].featmap_strides == extractors["mask"].featmap_strides
            and extractors["bbox"].finest_scale == extractors["mask"].finest_scale
        ),
    }
    for name, extractor in extractors.items():
        for layer in extractor.roi_layers:
            known = layer.aligned and layer.pool_mode == "avg" and len(set(layer.output_size)) == 1
            same = layer.sampling_ratio == extractors["bbox"].roi_layers[0].sampling_ratio
            facts[f"{name}_roi_extractor: must be an aligned RoIAlign by the mean"] = known and same
    for name, coder in (("rpn_head", rpn.bbox_coder), ("bbox_head", roi.bbox_head.bbox_coder)):
        usual = type(coder).__name__ == "DeltaXYWHBBoxCoder" and coder.clip_border
        facts[f"{name}.bbox_coder: must be DeltaXYWHBBoxCoder that clips"] = usual and not coder.add_ctr_clamp
    for name, options in (("rpn", test.rpn), ("rcnn", test.rcnn)):
        known = options.nms.type == "nms" and set(options.nms) <= {"type", "iou_threshold", "class_agnostic"}
        facts[f"test_cfg.{name}.nms: must be plain"] = known
    for fact, holds in facts.items():
        if not holds:
            raise UserError(f"the network cannot be exported: {fact}")
