"""Parts of `benchmarks.gpu`: segmentation and panoptic segmentation of one image."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.scale import Scale, autocast, compiled, difference, finish, inference, target
from benchmarks.literal import LiteralSegFormerHead, literal_copy
from benchmarks.side_by_side import Call, Row, device, side_by_side
from lvt_core import LVTConfig, SegFormer
from lvt_core.errors import UserError
from lvt_core.frameworks import require_installed

ROOT = Path(__file__).resolve().parents[2]
SEGFORMER_B0 = "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py"
PANOPTIC = ROOT / "configs/detection"


def segmentation(scale: Scale) -> Iterator[Row]:
    """Measure SegFormer-LVT as published and ours, and SegFormer-B0 if mmsegmentation is installed."""
    torch.manual_seed(0)
    published = SegFormer(LVTConfig(**{"num_classes": 150, **scale.model})).to(device()).eval()
    literal, ours = literal_copy(published), copy.deepcopy(published)
    literal.decode_head = LiteralSegFormerHead(published.decode_head)  # type: ignore[assignment]
    ours.decode_head = ours.decode_head.fold()  # type: ignore[assignment]
    models: dict[str, nn.Module] = {"literal": literal, "ours": ours}
    image = torch.randn(1, 3, *scale.segmentation, device=device())
    calls = {form: inference(model, image) for form, model in models.items()}
    graphed = compiled(ours, scale, mode="reduce-overhead")
    calls["ours, compiled, CUDA graph"] = inference(graphed, image)
    notes = []
    try:
        calls["SegFormer-B0"] = inference(_segformer_b0(), image)
    except UserError as error:
        notes.append(f"without SegFormer-B0: {error}")
    forms = side_by_side(calls, repeats=2 * scale.repeats, warmup=scale.warmup)
    yield {
        "name": "SegFormer-LVT, one image of {} x {}".format(*scale.segmentation),
        "images": 1,
        "difference": difference(models, image),
        "forms": forms,
        "targets": [
            target("time", forms, 2.0),
            *(target("time", forms, 1.0, to=name) for name in ("SegFormer-B0",) if name in forms),
        ],
        "notes": notes,
    }
    finish()


def panoptic(scale: Scale) -> Iterator[Row]:
    """Measure Panoptic FPN with post-processing: LVT as published and ours, and mmdetection's ResNet-50.

    Random weights find hardly any instance, so post-processing costs all forms less than in real use.

    Raises:
        UserError: mmdetection is not installed.
    """
    require_installed("mmengine", "mmcv", "mmdet", extra="dense")
    import lvt_det  # noqa: F401  (registers)

    torch.manual_seed(0)
    ours = _detector(PANOPTIC / "lvt/panoptic_fpn_lvt_fpn_3x_coco.py")
    baseline = _detector(PANOPTIC / "baselines/panoptic_fpn_r50_fpn_1x_coco.py")
    models = {"literal": literal_copy(ours), "ours": ours, "Panoptic FPN R-50": baseline}
    calls = {form: _prediction(model, scale.panoptic) for form, model in models.items()}
    forms = side_by_side(calls, repeats=2 * scale.repeats, warmup=scale.warmup)
    name = "Panoptic FPN-LVT with post-processing, one image of {} x {}".format(*scale.panoptic)
    yield {
        "name": name,
        "images": 1,
        "forms": forms,
        "targets": [target("time", forms, 2.0), target("time", forms, 1.0, to="Panoptic FPN R-50")],
    }


def _segformer_b0() -> nn.Module:
    require_installed("mmengine", "mmcv", "mmseg", extra="dense")
    from mmengine.registry import init_default_scope

    from lvt_core.openmmlab.commands import import_framework, load_config, without_pretrained

    import_framework("mmseg")
    from mmseg.registry import MODELS

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "segformer_b0.py")
        file.write_text(f'_base_ = "{SEGFORMER_B0}"\n')
        cfg = load_config(file)
    init_default_scope("mmseg")
    without_pretrained(cfg.model)
    return MODELS.build({**cfg.model, "train_cfg": None}).to(device()).eval()


def _detector(config: Path) -> Any:
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    from lvt_core.openmmlab.commands import load_config, without_pretrained

    cfg = load_config(config)
    init_default_scope("mmdet")
    without_pretrained(cfg.model)
    return MODELS.build(cfg.model).to(device()).eval()


def _prediction(model: Any, size: tuple[int, int]) -> Call:
    """Return a call that predicts one resized image, preprocessing not counted."""
    from mmdet.structures import DetDataSample
    from mmengine.dataset import pseudo_collate

    meta = {"img_id": 0, "ori_shape": size, "img_shape": size, "scale_factor": (1.0, 1.0)}
    pixels = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    sample = {"inputs": pixels, "data_samples": DetDataSample(metainfo=meta)}
    data = model.data_preprocessor(pseudo_collate([sample]), False)
    predict = partial(model.predict, data["inputs"], data["data_samples"])

    def call() -> object:
        with torch.no_grad(), autocast():
            return predict()

    return call
