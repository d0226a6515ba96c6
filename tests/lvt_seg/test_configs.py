"""The configs: they build, they are the published recipe, and the original's file gives its outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmseg.registry import DATASETS, MODELS

import lvt_seg  # noqa: F401  (registers)
from lvt_core import SegFormer, load_checkpoint
from lvt_core.errors import UserError
from lvt_core.openmmlab.commands import load_config
from tests.commands import ROOT
from tests.golden_values import assert_close, case, image, state_dict

CONFIGS = ROOT / "configs" / "segmentation"
ADE = CONFIGS / "lvt" / "segformer.lvt.512x512.ade.160k.py"


def build(path: Path, **options):
    init_default_scope("mmseg")
    cfg = load_config(path, options)
    return cfg, MODELS.build(cfg.model)


def test_published_model() -> None:
    _, model = build(ADE)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in SegFormer().parameters())
    load_checkpoint(model, SegFormer().state_dict())


@torch.no_grad()
def test_golden_values_through_mmsegmentation() -> None:
    _, model = build(ADE)
    report = load_checkpoint(model, state_dict("segformer_state_dict"))
    assert report.dropped == ("decode_head.conv_seg.weight", "decode_head.conv_seg.bias")
    name = "segformer_128x160"
    assert_close(model.eval()(image(name))[:, :: case(name)["class_stride"]], name)


def test_recipe() -> None:
    cfg, model = build(ADE)
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    assert type(optim.optimizer) is torch.optim.AdamW
    by_parameter = {id(p): group for group in optim.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        group = by_parameter[id(parameter)]
        assert group["lr"] == pytest.approx(6e-4 if name.startswith("decode_head") else 6e-5), name
        decays = "norm" not in name or name.startswith("decode_head")  # as the release's keys have it
        assert group["weight_decay"] == (0.01 if decays else 0.0), name
    norms = (torch.nn.LayerNorm, torch.nn.modules.batchnorm._BatchNorm)
    for name, module in model.named_modules():
        assert not isinstance(module, norms) or "norm" in name
    assert cfg.train_cfg.max_iters == 160000
    assert cfg.train_dataloader.batch_size == 2
    warmup, decay = cfg.param_scheduler
    assert (warmup.start_factor, warmup.begin, warmup.end) == (1e-6, 0, 1500)
    assert (decay.power, decay.eta_min, decay.begin, decay.end) == (1.0, 0.0, 0, 160000)
    assert cfg.model.backbone.drop_path_rate == 0.0 and cfg.model.decode_head.dropout_ratio == 0.1
    assert cfg.model.backbone.init_cfg.checkpoint == "pretrained/lvt_imagenet_pretrained.pth.tar"
    assert (cfg.default_hooks.checkpoint.interval, cfg.train_cfg.val_interval) == (4000, 16000)
    assert cfg.optim_wrapper == {
        "type": "OptimWrapper",
        "_scope_": "mmseg",
        "optimizer": {"type": "AdamW", "lr": 6e-5, "betas": (0.9, 0.999), "weight_decay": 0.01},
        "paramwise_cfg": {
            "custom_keys": {
                "pos_block": {"decay_mult": 0.0},
                "norm": {"decay_mult": 0.0},
                "head": {"lr_mult": 10.0},
            }
        },
    }
    assert optim.optimizer.defaults["eps"] == 1e-8
    image, mask = {"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "num_classes": 150}
    assert cfg.train_pipeline == [
        image,
        mask,
        {"type": "RandomResize", "scale": (2048, 512), "ratio_range": (0.5, 2.0), "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": (512, 512), "cat_max_ratio": 0.75},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PhotoMetricDistortion"},
        {"type": "PackSegInputs"},
    ]
    resize = {"type": "AlignedResize", "scale": (2048, 512)}
    assert cfg.test_pipeline == [image, resize, mask, {"type": "PackSegInputs"}]
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    assert cfg.test_dataloader.dataset.pipeline == cfg.test_pipeline
    assert cfg.sync_bn == "torch"
    dataset = DATASETS.build({**cfg.train_dataloader.dataset, "lazy_init": True})
    assert len(dataset.metainfo["classes"]) == 150 and dataset.reduce_zero_label


def test_the_rate_is_a_linear_decay_times_the_warm_up() -> None:
    """Follow the schedulers for some iterations: the decay counts from 0, under the warm-up."""
    cfg, _ = build(ADE)
    parameter = torch.nn.Parameter(torch.zeros(1))
    wrapper = build_optim_wrapper(torch.nn.ParameterList([parameter]), cfg.optim_wrapper)
    schedulers = [PARAM_SCHEDULERS.build({**s, "optimizer": wrapper}) for s in cfg.param_scheduler]
    for step in range(1, 2001):
        wrapper.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        warm_up = min(1.0, 1e-6 + (1 - 1e-6) * step / 1499)
        expected = 6e-5 * warm_up * (1 - step / 160000)
        assert wrapper.param_groups[0]["lr"] == pytest.approx(expected, rel=2e-3), step


def test_another_backbone_by_config_alone() -> None:
    path = CONFIGS / "baselines" / "segformer.pvt_v2_b0.512x512.ade.160k.py"
    _, model = build(path, **{"model.backbone.pretrained": False})
    lvt = sum(p.numel() for p in SegFormer().backbone.parameters())
    params = sum(p.numel() for p in model.backbone.parameters())
    assert abs(params - lvt) / lvt < 0.05  # "of LVT's size"
    assert model.eval()(torch.randn(1, 3, 64, 96)).shape == (1, 150, 16, 24)


def test_every_config_is_tested_here() -> None:
    assert {path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.py")} == {
        "lvt/segformer.lvt.512x512.ade.160k.py",
        "baselines/segformer.pvt_v2_b0.512x512.ade.160k.py",
    }


def test_missing_and_broken_configs_are_one_sentence(tmp_path) -> None:
    with pytest.raises(UserError, match="no such config"):
        load_config(tmp_path / "x.py")
    broken = tmp_path / "broken.py"
    broken.write_text("a = (1,\n")
    with pytest.raises(UserError, match=r"broken\.py"):
        load_config(broken)
    broken.write_text("_base_ = 'mmseg::nothing/here.py'\n")
    with pytest.raises(UserError, match=r"broken\.py"):
        load_config(broken)
