"""The configs: the published model and recipe, and what the original's weights mean in them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoPanopticDataset
from mmdet.registry import DATASETS
from mmdet.structures import DetDataSample
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from PIL import Image
from torchvision.models.detection.anchor_utils import AnchorGenerator

from lvt_core import LVT, CheckpointError, load_checkpoint
from lvt_core.checkpoint import convert_checkpoint, save_checkpoint
from lvt_core.checkpoint.read import read_checkpoint
from lvt_core.complexity import count_macs
from lvt_core.openmmlab.commands import datasets_of, load_config
from lvt_det.checks import check_data
from tests.det_commands import CONFIGS, build, write_panoptic_data
from tests.golden_values import golden, weight

ONE, THREE = (CONFIGS / f"lvt/panoptic_fpn_lvt_fpn_{n}x_coco.py" for n in (1, 3))
PARTS = ("neck.", "rpn_head.", "roi_head.", "semantic_head.")


@pytest.fixture(scope="module")
def model():
    return build(THREE)[1]


def original_state_dict(model) -> dict[str, torch.Tensor]:
    """Return the original release's weights: golden names for the backbone, mmdetection's for the rest."""
    backbone = {f"backbone.{key}": shape for key, shape in golden()["lvt_backbone_state_dict"].items()}
    rest = {key: list(v.shape) for key, v in model.state_dict().items() if key.startswith(PARTS)}
    return {key: weight(key, shape) for key, shape in {**backbone, **rest}.items()}


def test_published_size(model) -> None:
    assert sum(p.numel() for p in model.parameters()) == 5_349_770  # published: 5.4 M
    assert sum(p.numel() for p in model.backbone.parameters()) == 3_429_092

    class PerImage(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(
                (model.backbone, model.neck, model.rpn_head, model.semantic_head)
            )

        def forward(self, x):
            maps = self.parts[1](self.parts[0](x))
            self.parts[2](maps), self.parts[3](maps)

    # Published: 56.4, by a counter of its own.
    assert count_macs(PerImage(), (800, 1344))[""] / 1e9 == pytest.approx(54.83, abs=0.01)


def test_parts_are_the_specified_ones(model) -> None:
    assert [p.conv.out_channels for p in model.neck.fpn_convs] == [96] * 4 and model.neck.num_outs == 5
    box, mask = model.roi_head.bbox_head, model.roi_head.mask_head
    assert [fc.out_features for fc in box.shared_fcs] == [160, 160] and len(mask.convs) == 4
    assert [layer.output_size for layer in model.roi_head.bbox_roi_extractor.roi_layers] == [(7, 7)] * 4
    assert [layer.output_size for layer in model.roi_head.mask_roi_extractor.roi_layers] == [(14, 14)] * 4
    semantic = model.semantic_head
    assert semantic.conv_logits.out_channels == 54 and semantic.loss_seg.loss_weight == 0.5
    blocks = [list(layer.conv) for layer in semantic.conv_upsample_layers]
    assert [len(block) for block in blocks] == [1, 1, 2, 3]
    assert [layer.num_upsample for layer in semantic.conv_upsample_layers] == [0, 1, 2, 3]
    assert {block.gn.num_groups for layer in blocks for block in layer} == {12}
    assert {block.conv.out_channels for layer in blocks for block in layer} == {48}


@pytest.mark.parametrize(
    "path, lr, times, scales", [(ONE, 4e-4, 1, (800, 800)), (THREE, 3e-4, 3, (640, 800))]
)
def test_recipe(path, lr: float, times: int, scales: tuple[int, int]) -> None:
    cfg, model = build(path)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert type(optimizer) is torch.optim.AdamW
    assert {(g["lr"], g["weight_decay"]) for g in optimizer.param_groups} == {(lr, 1e-4)}
    warmup, steps = cfg.param_scheduler
    assert (warmup.begin, warmup.end, warmup.by_epoch, warmup.start_factor) == (0, 500, False, 0.001)
    assert (steps.milestones, steps.gamma, steps.by_epoch, cfg.train_cfg.max_epochs) == (
        [8, 11],
        0.1,
        True,
        12,
    )
    assert cfg.train_dataloader.batch_size == 8 and cfg.auto_scale_lr.base_batch_size == 64
    dataset = cfg.train_dataloader.dataset
    assert dataset.get("times", 1) == times
    dataset = dataset.get("dataset", dataset)
    assert dataset.filter_cfg == {"filter_empty_gt": True, "min_size": 32}
    assert cfg.optim_wrapper == {
        "type": "OptimWrapper",
        "_scope_": "mmdet",
        "optimizer": {"type": "AdamW", "lr": lr, "weight_decay": 1e-4},
    }
    assert (optimizer.defaults["betas"], optimizer.defaults["eps"]) == ((0.9, 0.999), 1e-8)
    image, fixed = {"type": "LoadImageFromFile"}, scales[0] == scales[1]
    scale = (1333, scales[0]) if fixed else [(1333, side) for side in scales]
    resize = {"type": "Resize" if fixed else "RandomResize", "scale": scale, "keep_ratio": True}
    rest = [{"type": "RandomFlip", "prob": 0.5}, {"type": "PackDetInputs"}]
    assert dataset.pipeline == [image, {"type": "LoadPanoptic"}, resize, *rest]
    whole = {"type": "Resize", "scale": (1333, 800), "keep_ratio": True}
    assert cfg.test_dataloader.dataset.pipeline == [image, whole, {"type": "PackPanoptic"}]
    assert cfg.model.backbone.drop_path_rate == 0.0
    assert cfg.checkpoint == "pretrained/lvt_imagenet_pretrained.pth.tar"
    assert load_config(path).model.backbone.init_cfg == {"type": "Pretrained", "checkpoint": cfg.checkpoint}


def test_originals_file_loads_and_converts_back(model, tmp_path) -> None:
    original = original_state_dict(model)
    report = load_checkpoint(model, {"state_dict": original, "meta": {"CLASSES": ("person",)}})
    assert report.layout == "original" and not report.dropped and not report.reinitialized
    backbone = LVT()
    load_checkpoint(
        backbone, {k.removeprefix("backbone."): v for k, v in original.items() if k.startswith("backbone.")}
    )
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for ours, wanted in zip(model.backbone(image), backbone.eval()(image), strict=True):
            torch.testing.assert_close(ours, wanted)
    for key, value in model.state_dict().items():
        if key.startswith(PARTS):
            assert torch.equal(value, original[key]), key

    save_checkpoint(model, tmp_path / "ours.pth")
    convert_checkpoint(tmp_path / "ours.pth", tmp_path / "back.pth", to="original")
    back = read_checkpoint(tmp_path / "back.pth")
    assert back.keys() == original.keys()
    assert all(torch.equal(back[key], original[key]) for key in original)


def test_a_file_that_lacks_a_part_is_refused(model) -> None:
    broken = original_state_dict(model)
    del broken["semantic_head.conv_logits.bias"]
    with pytest.raises(CheckpointError, match=r"semantic_head\.conv_logits\.bias"):
        load_checkpoint(model, broken)


def test_pixels_are_normalised_as_in_the_original(model, tmp_path) -> None:
    """RGB, ImageNet's mean and deviation, zeros below and to the right up to multiples of 32."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    from lvt_det import LoadImage

    loaded = LoadImage().transform({"img_path": str(tmp_path / "x.png")})["img"]
    sample = DetDataSample(metainfo={"img_shape": (50, 70)})
    data = {"inputs": [torch.from_numpy(loaded).permute(2, 0, 1)], "data_samples": [sample]}
    found = model.data_preprocessor(data, False)["inputs"]
    assert found.shape == (1, 3, 64, 96)
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    wanted = ((torch.from_numpy(pixels).float() - mean) / std).permute(2, 0, 1)
    torch.testing.assert_close(found[0, :, :50, :70], wanted)
    assert not found[0, :, 50:].any() and not found[0, :, :, 70:].any()


def test_labels_are_in_cocos_order() -> None:
    dataset = DATASETS.build({**load_config(ONE).train_dataloader.dataset, "lazy_init": True})
    meta = dataset.metainfo
    assert len(meta["thing_classes"]) == 80 and len(meta["stuff_classes"]) == 53
    assert tuple(meta["classes"]) == (*meta["thing_classes"], *meta["stuff_classes"])
    assert meta["classes"] == CocoPanopticDataset.METAINFO["classes"]
    assert (meta["classes"][0], meta["classes"][79], meta["classes"][80]) == (
        "person",
        "toothbrush",
        "banner",
    )


def test_background_is_the_last_class_and_stuff_comes_after_things(model) -> None:
    assert model.roi_head.bbox_head.fc_cls.out_features == 81
    semantic = model.semantic_head
    truth = torch.tensor([[0, 79, 80, 132, 255]])
    assert semantic._set_things_to_void(truth).tolist() == [[53, 53, 0, 52, 255]]


def test_anchors(model) -> None:
    """Side 8 x stride, centred on the cell's first corner; ratios are height over width."""
    generator = model.rpn_head.prior_generator
    sizes = [(5, 7), (3, 4), (2, 2), (1, 1), (1, 1)]
    found = generator.grid_priors(sizes, device="cpu")
    torchvisions = AnchorGenerator(tuple((8 * s,) for s in (4, 8, 16, 32, 64)), ((0.5, 1.0, 2.0),) * 5)
    for level, (stride, (height, width)) in enumerate(zip((4, 8, 16, 32, 64), sizes, strict=True)):
        literal = []
        for y in range(height):
            for x in range(width):
                for ratio in (0.5, 1.0, 2.0):
                    h, w = 8 * stride * math.sqrt(ratio), 8 * stride / math.sqrt(ratio)
                    literal.append(
                        [x * stride - w / 2, y * stride - h / 2, x * stride + w / 2, y * stride + h / 2]
                    )
        torch.testing.assert_close(found[level], torch.tensor(literal), atol=1e-3, rtol=1e-5)
        # torchvision rounds its cells to pixels.
        torch.testing.assert_close(found[level][:3], torchvisions.cell_anchors[level], atol=0.5, rtol=0)


def test_box_coders(model) -> None:
    boxes = torch.tensor([[10.0, 20, 50, 100]])
    deltas = torch.tensor([[0.3, -0.2, 0.4, -0.5]])
    for coder, std in (
        (model.rpn_head.bbox_coder, torch.ones(4)),
        (model.roi_head.bbox_head.bbox_coder, torch.tensor([0.1, 0.1, 0.2, 0.2])),
    ):
        dx, dy, dw, dh = (deltas * std)[0].tolist()
        x, y, w, h = 30 + dx * 40, 60 + dy * 80, 40 * math.exp(dw), 80 * math.exp(dh)
        wanted = torch.tensor([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]])
        torch.testing.assert_close(coder.decode(boxes, deltas), wanted)
        torch.testing.assert_close(coder.encode(boxes, wanted), deltas, atol=1e-5, rtol=1e-4)


def test_features_of_boxes_are_exact_under_mixed_precision(model) -> None:
    extractor = model.roi_head.bbox_roi_extractor
    maps = [torch.randn(1, 96, 256 // 2**i, 336 // 2**i) for i in range(4)]
    rois = torch.tensor([[0, 1001.3, 700.7, 1047.9, 760.2], [0, 100.3, 100.7, 700.9, 760.2]])
    wanted = extractor(maps, rois)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = extractor([x.bfloat16() for x in maps], rois)
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)


def test_proposals_are_exact_under_mixed_precision(model) -> None:
    torch.manual_seed(0)
    maps = [torch.randn(1, 96, 200 // 2**i, 336 // 2**i) for i in range(5)]
    sample = DetDataSample(metainfo={"img_shape": (800, 1344), "scale_factor": (1.0, 1.0)})
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model.rpn_head([x.bfloat16() for x in maps])
        assert outputs[0][0].dtype == torch.bfloat16
        found = model.rpn_head.predict_by_feat(
            *outputs, batch_img_metas=[sample.metainfo], cfg=model.rpn_head.test_cfg
        )[0]
    plain = [[x.float() for x in levels] for levels in outputs]
    wanted = model.rpn_head.predict_by_feat(
        *plain, batch_img_metas=[sample.metainfo], cfg=model.rpn_head.test_cfg
    )[0]
    assert found.bboxes.dtype == torch.float32
    torch.testing.assert_close(found.bboxes, wanted.bboxes)
    assert len(found.bboxes[:, 0].unique()) > 300  # not on a coarse grid


def test_the_missions_config_reads_data(tmp_path) -> None:
    """Three times the images, several sizes, under COCO's folder names and categories."""
    write_panoptic_data(tmp_path, "train", 4)
    (tmp_path / "train").rename(tmp_path / "train2017")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "maps_train").rename(tmp_path / "annotations/panoptic_train2017")
    content = json.loads((tmp_path / "train.json").read_text())
    names = CocoPanopticDataset.METAINFO["classes"]
    content["categories"] = [{"id": i, "name": n, "isthing": int(i <= 80)} for i, n in enumerate(names, 1)]
    for entry in content["annotations"]:
        for segment in entry["segments_info"]:
            segment["category_id"] += {10: 80, 30: 80}.get(segment["category_id"], 0)
    (tmp_path / "annotations/panoptic_train2017.json").write_text(json.dumps(content))
    cfg = load_config(THREE)
    init_default_scope("mmdet")
    for dataset in datasets_of(cfg.train_dataloader.dataset):
        dataset.data_root = str(tmp_path)
    check_data(cfg, ("train_dataloader",))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 3 * 4
    sizes = set()
    for i in range(len(dataset)):
        sample = dataset[i]
        height, width = sample["inputs"].shape[1:]
        assert 640 <= height <= 801 and abs(width - height * 1.5) <= 1
        sizes.add(height)
        truth = sample["data_samples"]
        assert truth.gt_sem_seg.sem_seg.shape == (1, height, width)
        assert set(truth.gt_sem_seg.sem_seg.unique().tolist()) <= {4, 19, 89, 109, 255}
        assert len(truth.gt_instances.masks) == len(truth.gt_instances.labels) == (1 if i % 4 == 0 else 2)
    assert len(sizes) > 3


def test_every_config_is_tested_here() -> None:
    assert {path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.py")} == {
        "lvt/panoptic_fpn_lvt_fpn_1x_coco.py",
        "lvt/panoptic_fpn_lvt_fpn_3x_coco.py",
        "baselines/panoptic_fpn_r50_fpn_1x_coco.py",
        "checks/overfit.py",
    }


def test_overfitting_validates_on_what_it_trains_on() -> None:
    cfg, _ = build(CONFIGS / "checks/overfit.py")
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert (train.ann_file, train.data_prefix) == (val.ann_file, val.data_prefix)
    assert not {step.type for step in train.pipeline} & {"RandomFlip", "RandomResize"}


def test_mmdetections_own_model_by_config_alone() -> None:
    _, model = build(CONFIGS / "baselines/panoptic_fpn_r50_fpn_1x_coco.py")
    assert sum(p.numel() for p in model.parameters()) > 40e6
    assert type(model.panoptic_fusion_head).__name__ == "HeuristicFusionHead"
