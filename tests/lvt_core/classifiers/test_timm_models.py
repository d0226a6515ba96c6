"""timm's contract, in the spirit of timm's own model tests."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models import get_pretrained_cfg
from timm.optim import create_optimizer_v2

import lvt_core
from lvt_core import LVT, LVTConfig
from tests.small import SMALL

NAMES = ["lvt", "lvt_cls"]


def create(name: str, **kwargs):
    return timm.create_model(name, **{**SMALL, "num_classes": 42, **kwargs})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 40), (256, 309)])
def test_logits_at_any_size(name: str, size: tuple[int, int]) -> None:
    model = create(name).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size))
    assert logits.shape == (2, 42)
    assert not logits.isnan().any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(31, 64), (64, 16)])
def test_rejects_small_images(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"input of {size[0]} x {size[1]} pixels: LVT supports"):
        create(name)(torch.randn(1, 3, *size))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = create(name).train()
    model(torch.randn(2, 3, 64, 64)).mean().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(not p.grad.isnan().any() for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_default_cfg(name: str) -> None:
    model = timm.create_model(name)
    cfg = model.default_cfg
    assert (cfg["input_size"], cfg["crop_pct"]) == ((3, 224, 224), 0.96)
    assert cfg["interpolation"] == "bicubic"
    assert cfg["mean"] == timm.data.IMAGENET_DEFAULT_MEAN
    parameters = dict(model.named_parameters())
    heads = (cfg["classifier"],) if isinstance(cfg["classifier"], str) else cfg["classifier"]
    assert all(head + ".weight" in parameters for head in heads)
    assert cfg["first_conv"] + ".weight" in parameters
    assert model.get_classifier() is model.head
    assert get_pretrained_cfg(name) is not None
    assert name in timm.list_models()


@pytest.mark.parametrize("name", NAMES)
def test_head_contract(name: str) -> None:
    model = create(name).eval()
    x = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        features = model.forward_features(x)
        torch.testing.assert_close(model.forward_head(features), model(x))
        pre_logits = model.forward_head(features, pre_logits=True)
        assert pre_logits.shape == (1, model.num_features) == (1, model.head_hidden_size)
        model.reset_classifier(0)
        torch.testing.assert_close(model(x), pre_logits)
        model.reset_classifier(0, "")
        torch.testing.assert_close(model(x), features)
        model.reset_classifier(7, model.pools[0])
        assert model(x).shape == (1, 7) == (1, model.num_classes)
    with pytest.raises(ValueError, match="global_pool='sum': must be one of"):
        model.reset_classifier(7, "sum")


def test_pooling_kinds() -> None:
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        logits = [create("lvt", global_pool=pool)(x) for pool in ("avg", "max", "avgmax")]
    assert all(value.shape == (1, 42) for value in logits)


@pytest.mark.parametrize("name", NAMES)
def test_features_only(name: str) -> None:
    model = create(name, features_only=True).eval()
    assert model.feature_info.channels() == [16, 16, 32, 32]
    assert model.feature_info.reduction() == [4, 8, 16, 32]
    with torch.no_grad():
        maps = model(torch.randn(1, 3, 128, 96))
    assert [tuple(m.shape) for m in maps] == [(1, 16, 32, 24), (1, 16, 16, 12), (1, 32, 8, 6), (1, 32, 4, 3)]


@pytest.mark.parametrize("name", NAMES)
def test_features_of_two_stages_drop_the_others(name: str) -> None:
    model = create(name, features_only=True, out_indices=(0, 1)).eval()
    assert not any("stages.2" in key or "class_blocks" in key for key in model.state_dict())
    with torch.no_grad():
        maps = model(torch.randn(1, 3, 64, 64))
    assert [tuple(m.shape) for m in maps] == [(1, 16, 16, 16), (1, 16, 8, 8)]


@pytest.mark.parametrize("name", NAMES)
def test_forward_intermediates(name: str) -> None:
    model = create(name).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features, maps = model.forward_intermediates(x)
        assert len(maps) == 4
        torch.testing.assert_close(model.forward_head(features), model(x))
        for ours, backbone in zip(maps, model.backbone(x), strict=True):
            torch.testing.assert_close(ours, backbone)
        two = model.forward_intermediates(x, indices=2, intermediates_only=True, stop_early=True)
        torch.testing.assert_close(two[0], maps[2])
        (normed,) = model.forward_intermediates(x, indices=1, norm=True, intermediates_only=True)
    assert normed.flatten(2).mean(1).abs().max() < 1e-4
    with pytest.raises(ValueError, match="output_fmt='NLC': must be 'NCHW'"):
        model.forward_intermediates(x, output_fmt="NLC")


@pytest.mark.parametrize("name", NAMES)
def test_layer_groups_cover_everything_in_order(name: str) -> None:
    model = create(name, depths=(2, 1, 1, 1))
    from timm.models import group_parameters

    for coarse in (True, False):
        groups = group_parameters(model, model.group_matcher(coarse=coarse))
        assert sum(len(keys) for keys in groups.values()) == len(list(model.parameters()))
        order = [layer for layer in sorted(groups) for _ in groups[layer]]
        names = [key for layer in sorted(groups) for key in groups[layer]]
        assert order[names.index("backbone.stages.0.patch_embed.proj.weight")] == 0
        assert (
            order[names.index("backbone.stages.1.blocks.0.norm1.weight")]
            < order[names.index("backbone.stages.3.blocks.0.norm1.weight")]
            < order[names.index("head.weight")]
        )
    create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.05, layer_decay=0.8)


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_spares_biases_norms_and_the_class_token(name: str) -> None:
    model = create(name)
    optimizer = create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.05)
    spared = {id(p) for g in optimizer.param_groups if not g["weight_decay"] for p in g["params"]}
    for key, p in model.named_parameters():
        assert (id(p) in spared) == (p.ndim <= 1 or key == "cls_token"), key


@pytest.mark.parametrize("name", NAMES)
def test_activation_checkpointing_changes_nothing(name: str) -> None:
    model = create(name).train()
    x = torch.randn(2, 3, 64, 64)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(x).square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


@pytest.mark.parametrize(
    "fields",
    [
        {"in_chans": 1},
        {"mixers": ("rasa", "rasa", "csa", "csa")},
        {"mixers": ("csa",) * 4},
        {"sr_ratios": (16, 16, 16, 16), "mixers": ("rasa",) * 4},
        {"atrous_rates": ()},
        {"atrous_rates": (2, 4)},
        {"num_recursions": 1},
        {"num_recursions": 4},
        {"depths": (1, 2, 1, 3), "mlp_ratios": (2, 2.5, 1, 3)},
        {"drop_rate": 0.3, "attn_drop_rate": 0.2, "drop_path_rate": 0.4},
    ],
)
def test_every_option_trains(fields: dict) -> None:
    for name in NAMES:
        model = create(name, **fields).train()
        x = torch.randn(2, fields.get("in_chans", 3), 40, 72)
        model(x).mean().backward()
        assert all(p.grad is not None for p in model.parameters())


def test_timm_can_turn_the_atrous_query_off() -> None:
    names = [name for name, _ in create("lvt", atrous_rates=()).named_parameters()]
    assert not any("atrous" in name for name in names)


def test_dropout_rates_act_in_training_only() -> None:
    for rate in ("drop_rate", "attn_drop_rate", "drop_path_rate"):
        model = create("lvt_cls", **{rate: 0.5})
        x = torch.randn(2, 3, 64, 64)
        model.train()
        assert not torch.equal(model(x), model(x)), rate
        model.eval()
        assert torch.equal(model(x), model(x)), rate


def test_drop_path_rises_linearly_over_all_blocks() -> None:
    model = LVT(LVTConfig(drop_path_rate=0.7))
    rates = [block.drop_path1 for stage in model.stages for block in stage.blocks]
    actual = [getattr(rate, "drop_prob", 0.0) or 0.0 for rate in rates]
    assert actual == pytest.approx([0.1 * i for i in range(8)])


def test_rejects_unknown_keywords() -> None:
    with pytest.raises(TypeError, match="lvt does not support img_size; its keywords are in_chans"):
        timm.create_model("lvt", img_size=224)


def test_rejects_pretrained_without_weights() -> None:
    with pytest.raises(RuntimeError, match="No pretrained weights exist"):
        timm.create_model("lvt_cls", pretrained=True)


def test_local_weights_through_timm(tmp_path) -> None:
    source = timm.create_model("lvt_cls")
    path = tmp_path / "weights.pth"
    lvt_core.save_checkpoint(lvt_core.checkpoint.names.to_original(source.state_dict()), path)
    overlay = {"file": str(path)}
    same = timm.create_model("lvt_cls", pretrained=True, pretrained_cfg_overlay=overlay)
    assert torch.equal(same.head.weight, source.head.weight)
    other = timm.create_model(
        "lvt_cls", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=5, in_chans=1
    )
    assert other.head.out_features == 5
    key = "stages.3.blocks.1.attn.q.weight"
    assert torch.equal(other.backbone.state_dict()[key], source.backbone.state_dict()[key])
    summed = source.backbone.stages[0].patch_embed.proj.weight.sum(1, keepdim=True)
    torch.testing.assert_close(other.backbone.stages[0].patch_embed.proj.weight, summed)


@pytest.mark.parametrize("name", NAMES)
def test_timms_own_training_idiom(name: str) -> None:
    """Check the steps of timm's train.py and validate.py on a model."""
    from timm.data import resolve_model_data_config
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.utils import ModelEmaV3, accuracy

    model = create(name, num_classes=4, drop_path_rate=0.1)
    assert resolve_model_data_config(model)["crop_pct"] == 0.96
    ema = ModelEmaV3(model)
    optimizer = create_optimizer_v2(model, "adamw", lr=5e-3)
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 4
    losses = []
    for _ in range(12):
        model.train()
        loss = LabelSmoothingCrossEntropy(0.1)(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update(model)
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    top1, _ = accuracy(model.eval()(images), labels, topk=(1, 3))
    assert 0 <= top1 <= 100
